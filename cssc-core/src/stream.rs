//! Lists of JSON that are read element by element and never held as a whole.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// A list whose elements go to `element` one by one.
#[derive(Debug)]
pub struct Each<'e, X, E> {
    /// What the list is, for messages.
    pub expecting: X,
    /// Whether null stands for an empty list.
    pub or_null: bool,
    /// What reads an element.
    pub element: &'e mut E,
}

impl<'de, X: Display, E> DeserializeSeed<'de> for Each<'_, X, E>
where
    for<'a> &'a mut E: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, X: Display, E> Visitor<'de> for Each<'_, X, E>
where
    for<'a> &'a mut E: DeserializeSeed<'de, Value = ()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expecting.fmt(f)
    }

    fn visit_unit<R: Error>(self) -> Result<(), R> {
        if self.or_null {
            return Ok(());
        }
        Err(R::invalid_type(serde::de::Unexpected::Unit, &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(&mut *self.element)?.is_some() {}
        Ok(())
    }
}

/// An element that is a text, lent to `take` without being copied.
#[derive(Debug)]
pub struct Text<X, F> {
    /// What the element is, for messages.
    pub expecting: X,
    /// Takes the text, or says why it cannot.
    pub take: F,
}

impl<'de, X, F, R> DeserializeSeed<'de> for &mut Text<X, F>
where
    X: Display,
    F: FnMut(&str) -> Result<(), R>,
    R: Display,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<X, F, R> Visitor<'_> for &mut Text<X, F>
where
    X: Display,
    F: FnMut(&str) -> Result<(), R>,
    R: Display,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expecting.fmt(f)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        (self.take)(text).map_err(E::custom)
    }
}

/// An element that is read as a `T` and given to `take`.
#[derive(Debug)]
pub struct Value<T, F> {
    take: F,
    value: PhantomData<T>,
}

impl<T, F> Value<T, F> {
    /// Gives each element to `take`.
    pub fn new<R>(take: F) -> Self
    where
        F: FnMut(T) -> Result<(), R>,
    {
        Self {
            take,
            value: PhantomData,
        }
    }
}

impl<'de, T, F, R> DeserializeSeed<'de> for &mut Value<T, F>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), R>,
    R: Display,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        (self.take)(T::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
