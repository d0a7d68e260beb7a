//! A bell that wakes one task. Owns nothing but whether it was rung and who listens; a future of it
//! has no state of its own, which each idle connection would keep.
//!
//! Invariant: a ring is never lost: who listens is noted before the last look at whether it rang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// See the module.
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicBool,
    listener: Mutex<Option<Waker>>,
}

impl Bell {
    /// Wakes who listens; rings kept for somebody who does not listen yet are one.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(waker) = self.listener.lock().take()
        {
            waker.wake();
        }
    }

    /// Whether it rang since the last call that was ready; else the task of `context` is woken when
    /// it does. Only one task may listen.
    pub fn poll_rung(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        let mut listener = self.listener.lock();
        if !listener
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *listener = Some(context.waker().clone());
        }
        drop(listener);
        if self.rung.swap(false, Ordering::AcqRel) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Waits for a ring.
    pub async fn rung(&self) {
        std::future::poll_fn(|context| self.poll_rung(context)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_ring_before_anybody_listens_is_kept_and_wakes_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        assert!(bell.poll_rung(&mut context).is_ready());
        assert!(bell.poll_rung(&mut context).is_pending());
        assert!(bell.poll_rung(&mut context).is_pending());
        bell.ring();
        bell.ring();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(bell.poll_rung(&mut context).is_ready());
        assert!(bell.poll_rung(&mut context).is_pending());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_ring_is_lost_between_threads() {
        let (there, back) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        let rounds = 10_000;
        let other = {
            let (there, back) = (there.clone(), back.clone());
            tokio::spawn(async move {
                for _ in 0..rounds {
                    there.rung().await;
                    back.ring();
                }
            })
        };
        for _ in 0..rounds {
            there.ring();
            back.rung().await;
        }
        other.await.expect("the other side");
    }
}
