//! A build begins anew where EC2 has taken its spot instance back.

use std::sync::Arc;

use async_trait::async_trait;

use crate::aws::account::{Account, Handle, Patience};
use crate::builder::amazon::build::{Build, BuildOptions};
use crate::builder::amazon::machine::why_ended;
use crate::component::BuildContext;
use crate::step::Steps;

/// How often a build begins anew because EC2 has taken its spot instance back.
const RESTARTS: usize = 2;

/// A builder as the list of its steps.
#[async_trait]
pub(crate) trait StepList: Sync {
    /// What is left when it has ended well.
    type Made: Send;

    /// Its account, and how it tags what it makes there.
    fn options(&self) -> &Arc<BuildOptions>;

    /// Runs the steps of one `build`.
    async fn bake(
        &self,
        cx: &BuildContext,
        steps: &Steps<'_>,
        build: Build,
    ) -> anyhow::Result<Self::Made>;
}

/// The account that `options` say.
pub(crate) async fn account(cx: &BuildContext, options: &BuildOptions) -> anyhow::Result<Handle> {
    let environment = &cx.facts.scope.environment;
    Account::open(&options.access, environment, &cx.redactor, Patience::Long).await
}

/// Has `builder` run its steps, and undoes what must not stay.
pub(crate) async fn bake<B: StepList>(cx: &BuildContext, builder: &B) -> anyhow::Result<B::Made> {
    let options = builder.options();
    let account = account(cx, options).await?;
    let mut restarts = RESTARTS;
    loop {
        let build = Build::new(account.clone(), options.clone());
        let steps = Steps::new(cx);
        let error = match steps.finish(builder.bake(cx, &steps, build)).await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        if restarts == 0 || !why_ended::may_begin_anew(cx, &error) {
            return Err(match options.access.decode_authorization_messages {
                true => account.decoded(error).await,
                false => error,
            });
        }
        restarts -= 1;
        cx.ui.say(format!("{error:#}"));
        cx.ui.say("The build begins anew: EC2 has taken its spot instance back");
    }
}
