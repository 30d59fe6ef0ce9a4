//! The key that opens the machine: given, or made for this build.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_ec2::operation::create_key_pair::CreateKeyPairOutput;
use aws_sdk_ec2::types::{KeyType as ApiKeyType, ResourceType};

use crate::aws::allow::Regions;
use crate::aws::name;
use crate::aws::resource::Resource as _;
use crate::aws::resource::key_pair::{self, KeyPair};
use crate::aws::tags::specification;
use crate::builder::amazon::machine::settings::{Machine, MachineSettings};
use crate::builder::amazon::source_ami::SourceAmi;
use crate::communicator::{KeyType, TemporaryKey};
use crate::component::BuildContext;
use crate::journal::Thing;
use crate::permission::Permission;
use crate::secret::Secret;
use crate::step::{Ending, Step};

/// Makes a key pair if nothing else is given to log in with. EC2 makes it, so that policies which
/// allow `CreateKeyPair` are enough; the private half is in its answer only.
pub(crate) struct MakeKeyPair {
    machine: Machine,
    source: SourceAmi,
    /// What the key pair will be called, if one is made.
    made: Option<(String, Arc<Thing>)>,
}

/// The key pair of the machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    /// Its name in EC2, if it is there.
    pub name: Option<String>,
    /// The key itself, if it was made here.
    pub temporary: Option<Arc<TemporaryKey>>,
    /// The same as EC2 wrote it.
    pub pem: Option<Secret>,
}

impl MakeKeyPair {
    pub(crate) fn new(machine: &Machine, source: &SourceAmi) -> Self {
        let connector = &machine.settings.connector;
        let name = connector
            .temporary_key()
            .map(|wish| wish.name.map_or_else(name::temporary, str::to_owned));
        let made = name.map(|name| {
            let made = KeyPair { name: name.clone(), token: machine.build.token.clone() };
            (name, Arc::new(made.thing(&machine.build.account, machine.build.account.region())))
        });
        Self { machine: machine.clone(), source: source.clone(), made }
    }

    /// What the account must allow for it.
    pub(crate) fn permissions(settings: &MachineSettings, at: &Regions) -> Vec<Permission> {
        if settings.connector.temporary_key().is_none() {
            return Vec::new();
        }
        let mut all = vec![
            at.make("key-pair", &["CreateKeyPair"]),
            at.tag_with(&["key-pair"], &["CreateKeyPair"]),
        ];
        all.extend(KeyPair::permissions(at));
        all
    }

    /// With `-debug`, the key is kept in this file while the build runs.
    fn debug_file(&self, cx: &BuildContext) -> Option<PathBuf> {
        let facts = &cx.facts;
        let file = format!("ec2_{}.pem", facts.build_name.replace('/', "_"));
        facts.debug.then(|| facts.scope.environment.cwd.join(file))
    }

    /// A name that the user chose may be the name of a key that is not ours.
    async fn refuse_existing(&self, cx: &BuildContext, name: &str) -> anyhow::Result<()> {
        let ec2 = self.machine.build.ec2(cx);
        let request = ec2.describe_key_pairs().key_names(name);
        match ec2.call("DescribeKeyPairs", |_| request.clone().send()).await {
            Ok(found) if !found.key_pairs().is_empty() => {
                bail!(
                    "a key pair called `{name}` exists already: choose another `temporary_key_pair_name`"
                )
            }
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn create(&self, cx: &BuildContext, name: &str, made: &Thing) -> anyhow::Result<Secret> {
        let tags = self.machine.build.own_tags(cx, &self.source)?;
        let kind = match self.machine.settings.connector.temporary_key().map(|wish| wish.kind) {
            Some(KeyType::Rsa) => ApiKeyType::Rsa,
            // EC2 starts no Windows with another one.
            Some(KeyType::Ed25519) if self.source.is_windows() => ApiKeyType::Rsa,
            Some(KeyType::Ed25519 | KeyType::Ecdsa) | None => ApiKeyType::Ed25519,
        };
        let ec2 = self.machine.build.ec2(cx);
        let request = ec2.create_key_pair().key_name(name).key_type(kind).set_tag_specifications(
            specification(ResourceType::KeyPair, &tags).map(|tags| vec![tags]),
        );
        // With an answer the private half is lost for good: away with the other one.
        let forget = || async {
            if key_pair::find(&ec2, name, &self.machine.build.token).await?.ours().is_some() {
                key_pair::delete(&ec2, name).await?;
            }
            Ok(None)
        };
        let half = |answer: CreateKeyPairOutput| answer.key_material;
        let call = ec2.make(made, "CreateKeyPair", |_| request.clone().send(), half, forget);
        let material = call.await?;
        cx.journal.made(made, name);
        Ok(Secret::new(material))
    }
}

#[async_trait]
impl Step for MakeKeyPair {
    type Output = Key;

    fn name(&self) -> &'static str {
        "make a key pair"
    }

    fn makes(&self) -> Vec<Arc<Thing>> {
        self.made.iter().map(|(_, made)| made.clone()).collect()
    }

    async fn run(&self, cx: &BuildContext) -> anyhow::Result<Key> {
        let connector = &self.machine.settings.connector;
        let Some((name, made)) = &self.made else {
            return Ok(Key { name: connector.key_pair().map(str::to_owned), ..Key::default() });
        };
        if connector.temporary_key().is_some_and(|wish| wish.name.is_some()) {
            self.refuse_existing(cx, name).await?;
        }
        cx.ui.say(format!("Creating the temporary key pair {name}"));
        let pem = self.create(cx, name, made).await?;
        cx.redactor.register(pem.expose());
        if let Some(file) = self.debug_file(cx) {
            cx.ui
                .say(format!("Keeping its private key in {} while the build runs", file.display()));
            pem.write_to(&file).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let key = TemporaryKey::from_pem(&pem, name)?;
        Ok(Key { name: Some(name.clone()), temporary: Some(Arc::new(key)), pem: Some(pem) })
    }

    async fn undo(&self, cx: &BuildContext, _ending: Ending) -> anyhow::Result<()> {
        if let Some(file) = self.debug_file(cx) {
            // It may never have been written.
            let _ = tokio::fs::remove_file(file).await;
        }
        if let Some((_, made)) = &self.made {
            self.machine.build.removal(cx).remove(made).await?;
        }
        Ok(())
    }

    fn undoes_independently(&self) -> bool {
        true
    }
}
