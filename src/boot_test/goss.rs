//! `goss`: a program on the machine, and a file that says what must hold there.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::component::{Command, Exit, ProvisionContext, Upload};
use crate::guest::shell::{Posix, Shell as _, encoded_powershell, quote_powershell};
use crate::retry;

/// What `goss` tests, and which one.
pub(super) struct Goss<'a> {
    pub file: &'a Path,
    /// The program for the machine; if not given, it has its own.
    pub program: Option<&'a Path>,
}

/// Where all of it is on the machine.
struct There {
    tests: String,
    /// The program, where it was uploaded.
    program: Option<String>,
}

impl Goss<'_> {
    /// Has `goss` test the machine.
    pub(super) async fn test(&self, cx: &ProvisionContext) -> anyhow::Result<()> {
        let machine = &cx.communicator;
        let shell = machine.shell();
        let number = uuid::Uuid::new_v4().simple();
        let base = format!("{}/imgbake-{number}", shell.temporary_directory());
        let ending = self.file.extension().and_then(|ending| ending.to_str()).unwrap_or("yaml");
        let of_program = if shell.is_posix() { "-goss" } else { "-goss.exe" };
        let there = There {
            tests: format!("{base}.{ending}"),
            program: self.program.map(|_| format!("{base}{of_program}")),
        };
        let uploaded = machine.upload(Upload::File(self.file), &there.tests, &cx.ui).await;
        uploaded.with_context(|| format!("cannot upload the tests to {}", there.tests))?;
        if let (Some(program), Some(to)) = (self.program, &there.program) {
            let uploaded = machine.upload(Upload::File(program), to, &cx.ui).await;
            uploaded.with_context(|| format!("cannot upload goss to {to}"))?;
        }
        let command = match shell.is_posix() {
            true => there.on_posix(),
            false => encoded_powershell(&there.on_windows()),
        };
        let run = machine.run_shown(Command::Ours(&command), &cx.ui);
        match retry::or_cancelled(&cx.cancel, run).await?? {
            Exit::Status(0) => Ok(()),
            Exit::Status(127) => bail!("the machine has no `goss`: give `goss_program`"),
            exit => bail!("goss ended with status {}: its lines above say why", exit.status()),
        }
    }
}

impl There {
    /// Everything that was uploaded.
    fn files(&self) -> Vec<&str> {
        [Some(&self.tests), self.program.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }

    fn on_posix(&self) -> String {
        let program = match &self.program {
            Some(path) => format!("{} && {}", Posix.make_executable(path), Posix.path(path)),
            None => "goss".to_owned(),
        };
        let test = format!("({program} -g {} validate --no-color)", Posix.path(&self.tests));
        Posix.and_after(&test, &Posix.remove_files(&self.files()))
    }

    /// There, `goss` wants to hear that it is known to be young.
    fn on_windows(&self) -> String {
        let program = quote_powershell(self.program.as_deref().unwrap_or("goss"));
        let tests = quote_powershell(&self.tests);
        let files: Vec<_> = self.files().into_iter().map(quote_powershell).collect();
        format!(
            "$env:GOSS_USE_ALPHA = '1'\n\
             $status = 127\n\
             if (Get-Command {program} -ErrorAction SilentlyContinue) {{\n\
             & {program} -g {tests} validate --no-color\n\
             $status = $LASTEXITCODE\n\
             }}\n\
             Remove-Item -Force -ErrorAction SilentlyContinue {}\n\
             exit $status\n",
            files.join(", ")
        )
    }
}
