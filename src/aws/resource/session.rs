//! A session of Systems Manager, through which a build reaches its instance.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::aws::allow::Regions;
use crate::aws::error::Meaning;
use crate::aws::resource::context::{Removal, RemovalTarget, Search};
use crate::aws::resource::found::Found;
use crate::aws::resource::kind::{Kind, Order, Parent, Reap, Resource, read};
use crate::aws::ssm::session;
use crate::permission::Permission;

/// A session. It ends with its instance by itself, so nothing looks for it alone.
pub static KIND: Kind = Kind {
    key: "session",
    label: "session",
    order: Order::First,
    is_product: false,
    read: read::<Session>,
    reap: Reap::No,
};

/// A session with our instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The instance.
    pub instance: String,
    /// Why it was started, as the session says: nobody else has this reason.
    pub reason: String,
}

#[async_trait]
impl Resource for Session {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn name(&self) -> String {
        format!("with {}", self.instance)
    }

    /// It has no tags.
    fn tokens(&self) -> Vec<&str> {
        Vec::new()
    }

    fn parent(&self) -> Option<Parent<'_>> {
        Some(Parent::Instance(&self.instance))
    }

    async fn find(&self, search: &Search<'_>) -> anyhow::Result<Found> {
        let ssm = search.account.ssm(search.cancel);
        let id = session::find(&ssm, &self.instance, &self.reason, search.id).await?;
        Ok(Found::certain(id))
    }

    /// Whoever may not end it has to leave it: it ends with its instance.
    async fn remove(
        &self,
        removal: &Removal<'_>,
        target: &RemovalTarget<'_>,
    ) -> anyhow::Result<()> {
        match session::terminate(&removal.account.ssm(removal.cancel), target.id).await {
            Err(error) if error.meaning == Meaning::Denied => {
                let (id, instance) = (target.id, &self.instance);
                removal.ui.say(format!("The session {id} ends with {instance}: {error}"));
                Ok(())
            }
            ended => Ok(ended?),
        }
    }

    fn permissions(at: &Regions) -> Vec<Permission> {
        vec![
            at.on_own_sessions(&["TerminateSession"]),
            Permission::new(["ssm:DescribeSessions".to_owned()]),
        ]
    }
}
