//! `breakpoint`: stops until somebody presses enter.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::{Check, Component, ProvisionContext, Provisioner};
use crate::retry::or_cancelled;

/// The options of `breakpoint`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Options {
    /// Goes on at once.
    pub disable: bool,
    /// What to tell the person at the terminal.
    pub note: String,
}

/// The provisioner, ready to run.
#[derive(Debug)]
pub struct Breakpoint(Options);

impl Component for Breakpoint {
    const TYPE: &'static str = "breakpoint";
    const ABOUT: &'static str =
        "Waits until Enter is pressed, so that the machine can be looked at.";
    type Options = (Options,);

    fn prepare((options,): Self::Options, _check: &mut Check<'_>) -> Option<Self> {
        Some(Self(options))
    }
}

#[async_trait]
impl Provisioner for Breakpoint {
    async fn provision(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let Options { disable, note } = &self.0;
        let note = if note.is_empty() { String::new() } else { format!(" with note: \"{note}\"") };
        if *disable {
            cx.ui.say(format!("Breakpoint provisioner{note} disabled; continuing..."));
            return Ok(());
        }
        cx.ui.say(format!("Pausing at breakpoint provisioner{note}."));
        let asked = cx.ui.ask("Press enter to continue.");
        if or_cancelled(&cx.cancel, asked).await?.is_none() {
            cx.ui.say("Nobody can answer here; continuing...");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Message;
    use crate::provisioner::fake::{self, Machine};

    #[tokio::test]
    async fn it_waits_for_an_answer_and_disabled_it_does_not() {
        let (cx, mut said) = fake::context(Machine::answering([]));
        let breakpoint = fake::prepare::<Breakpoint>(json!({"note": "look"})).unwrap();
        let answer = async {
            while let Some(event) = said.recv().await {
                if let Message::Ask { answer, .. } = event.message {
                    answer.send(Some(String::new())).unwrap();
                    break;
                }
            }
        };
        let (ended, ()) = tokio::join!(breakpoint.provision(&cx), answer);
        ended.unwrap();
        let disabled = fake::prepare::<Breakpoint>(json!({"disable": true})).unwrap();
        disabled.provision(&cx).await.unwrap();
        assert_eq!(fake::said(&mut said), ["Breakpoint provisioner disabled; continuing..."]);
    }
}
