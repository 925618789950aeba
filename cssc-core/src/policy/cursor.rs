//! A place in a policy.

use super::json::Node;

/// A node and the way to it. The pointer is made when something is to be said about the node, so
/// that a policy without findings costs none.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'n, 'p> {
    pub(super) node: &'n Node,
    step: Step<'n>,
    parent: Option<&'p Cursor<'n, 'p>>,
}

#[derive(Clone, Copy)]
enum Step<'n> {
    Root,
    Key(&'n str),
    Index(usize),
}

impl<'n, 'p> Cursor<'n, 'p> {
    pub(super) fn root(node: &'n Node) -> Self {
        Self {
            node,
            step: Step::Root,
            parent: None,
        }
    }

    /// The member of an object with this key.
    pub(super) fn member(&'p self, key: &'n str, node: &'n Node) -> Self {
        Self {
            node,
            step: Step::Key(key),
            parent: Some(self),
        }
    }

    /// The item of a list with this index.
    pub(super) fn item(&'p self, index: usize, node: &'n Node) -> Self {
        Self {
            node,
            step: Step::Index(index),
            parent: Some(self),
        }
    }

    /// The JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)).
    pub(super) fn pointer(&self) -> String {
        let mut pointer = self.parent.map(Cursor::pointer).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Key(key) => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Step::Index(index) => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
        pointer
    }
}
