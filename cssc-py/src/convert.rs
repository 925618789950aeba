//! Between Python's values and the core's.

use chrono::{DateTime, Utc};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use serde::Serialize;
use serde_json::Value;

/// Something the package defines in Python: an exception, an enumeration, a row.
pub(crate) fn package<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static TYPES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module =
        TYPES.get_or_try_init(py, || Ok::<_, PyErr>(py.import("cssc._types")?.unbind()))?;
    module.bind(py).getattr(name)
}

/// An exception of the package, with its arguments.
pub(crate) fn error<'py>(
    py: Python<'py>,
    name: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyErr {
    match package(py, name).and_then(|class| class.call1(arguments)) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// Turns an error of the core into `cssc.InvalidValueError`, its message unchanged.
pub(crate) fn invalid(py: Python<'_>, error_text: impl std::fmt::Display) -> PyErr {
    error(py, "InvalidValueError", (error_text.to_string(),))
}

/// A member of an enumeration of the package.
pub(crate) fn member<'py>(py: Python<'py>, name: &str, value: &str) -> PyResult<Bound<'py, PyAny>> {
    package(py, name)?.call1((value,))
}

/// An aware `datetime` as an instant; a naive one is an error that says so.
pub(crate) fn instant(value: &Bound<'_, PyAny>) -> PyResult<DateTime<Utc>> {
    let py = value.py();
    let datetime = py.import("datetime")?;
    if !value.is_instance(&datetime.getattr("datetime")?)? {
        let kind = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "expected an aware datetime, not {kind}"
        )));
    }
    if value.call_method0("utcoffset")?.is_none() {
        let text = value.call_method0("isoformat")?;
        return Err(invalid(
            py,
            format!(
                "`{text}` is a naive datetime: give it a time zone, \
                 as in datetime(…, tzinfo=timezone.utc)"
            ),
        ));
    }
    let utc = datetime.getattr("timezone")?.getattr("utc")?;
    value.call_method1("astimezone", (utc,))?.extract()
}

/// A JSON value as Python's own.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into_pyobject(py)?.into_any(),
            (_, Some(number), _) => number.into_pyobject(py)?.into_any(),
            (_, _, number) => number.into_pyobject(py)?.into_any(),
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (key, value) in members {
                dict.set_item(key, to_python(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

/// A value of the core as Python has its JSON.
pub(crate) fn to_dict<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(value).map_err(|error| invalid(py, error))?;
    to_python(py, &value)
}

/// Python's value as JSON, by way of Python's own `json`, whose errors come through.
pub(crate) fn to_json_text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let options = PyDict::new(value.py());
    options.set_item("allow_nan", false)?;
    // Escaped, half of a surrogate pair would get through.
    options.set_item("ensure_ascii", false)?;
    let text = value
        .py()
        .import("json")?
        .getattr("dumps")?
        .call((value,), Some(&options))?;
    text.extract()
}

/// What `__reduce__` answers: a class and its arguments.
pub(crate) type Reduced<'py> = (Bound<'py, PyType>, Bound<'py, PyTuple>);
