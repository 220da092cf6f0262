//! Tapes that have parts of one batch, and go in step: what is a number of the whole batch they find out
//! together.
use super::parts::{Tape, TapeNumber};
use crate::error::Checked;
use std::rc::Rc;

/// What the numbers of two parts, one after the other, are of both.
pub(crate) type Join = fn(Vec<f64>, Vec<f64>) -> Vec<f64>;

/// The way to the tapes with the other parts.
pub(crate) trait Peers {
    /// The numbers of the whole, of those of this part, once all parts have come here. They are joined in an
    /// order that depends on the parts alone.
    fn join(&self, own: Vec<f64>, join: Join) -> Checked<Vec<f64>>;
}

impl<T: TapeNumber> Tape<T> {
    pub(crate) fn set_peers(&self, peers: Rc<dyn Peers>) {
        self.settings.peers.replace(Some(peers));
    }

    /// None of a tape that has the whole batch, or what is taken for one.
    pub(crate) fn peers(&self) -> Option<Rc<dyn Peers>> {
        self.settings.peers.borrow().clone()
    }
}
