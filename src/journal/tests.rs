use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::store::{Holder, journals};
use super::*;

fn thing(name: &str) -> Arc<Thing> {
    Arc::new(Thing::new("machine", name).at("here").with_details(json!({"name": name})))
}

fn image(name: &str) -> Arc<Thing> {
    Arc::new(Thing::new("image", name).with_details(json!({"name": name})).as_product())
}

/// A journal of the run `run` and its directory.
fn journal() -> (Journal, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Journal::in_dir(dir.path(), "run"), dir)
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("run.jsonl")
}

/// What the journal in `dir` says to whoever cleans up; its run must be dead.
fn after(dir: &TempDir) -> Journal {
    let [found] = journals(dir.path()).unwrap().try_into().unwrap();
    let mut taken = None;
    let is_taken = soon(|| {
        if let Holder::Us(journal) = found.take_over().unwrap() {
            taken = Some(journal);
        }
        taken.is_some()
    });
    assert!(is_taken, "somebody holds it");
    taken.unwrap()
}

/// Whether `is_so` comes true: a child that another test starts has our files for a moment, and with
/// them their locks.
fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    (0..100_000).any(|_| {
        std::thread::yield_now();
        is_so()
    })
}

#[tokio::test]
async fn what_could_not_be_removed_is_said_with_its_reason() {
    let journal = Journal::default();
    let (group, key) = (thing("packer_1"), thing("packer_2"));
    journal.intend("web", vec![group.clone(), key.clone()]).await.unwrap();
    journal.gone(&key);
    assert_eq!(journal.entry_texts(), ["web: machine packer_1 in here"]);
    journal.made(&group, "sg-1");
    assert_eq!(journal.entry_texts(), ["web: machine sg-1 in here"]);
    assert_eq!(journal.untouched(), ["web: machine sg-1 in here"]);
    assert!(journal.left_behind().is_empty());
    journal.mark_failed(&group, "in use");
    assert_eq!(journal.left_behind(), ["web: machine sg-1 in here (in use)"]);
    assert!(journal.untouched().is_empty());
}

#[tokio::test]
async fn a_dead_runs_intents_ids_and_ends_are_read_back() {
    let (journal, dir) = journal();
    let (one, two, three) = (thing("one"), thing("two"), thing("three"));
    journal.intend("web", vec![one.clone(), two.clone()]).await.unwrap();
    journal.intend("db", vec![three.clone()]).await.unwrap();
    journal.made(&one, "i-1");
    journal.gone(&two);
    drop(journal);
    let journal = after(&dir);
    assert_eq!(journal.entry_texts(), ["web: machine i-1 in here", "db: machine three in here"]);
    let entries = journal.entries();
    assert_eq!(entries[0].thing.details(), Some(&json!({"name": "one"})));
    assert!(entries.iter().all(|entry| entry.thing.is_attempted()), "nobody knows better");
    // Whoever cleans up goes on in the same file.
    journal.gone(&entries[0].thing);
    let new = thing("new");
    journal.intend("web", vec![new]).await.unwrap();
    drop((journal, entries));
    let journal = after(&dir);
    assert_eq!(journal.entry_texts(), ["db: machine three in here", "web: machine new in here"]);
}

#[tokio::test]
async fn of_dead_runs_only_those_are_held_that_list_what_is_wanted() {
    let (journal, dir) = journal();
    for (run, name) in [("run-1", "one"), ("run-2", "two")] {
        let dead = Journal::in_dir(dir.path(), run);
        dead.intend("web", vec![thing(name)]).await.unwrap();
    }
    let held = |name| {
        let found = journal.of_dead(|thing| thing.details() == Some(&json!({"name": name})));
        found.iter().flat_map(Journal::entry_texts).collect::<Vec<_>>()
    };
    assert_eq!(held("none"), Vec::<String>::new());
    assert!(soon(|| held("one") == ["web: machine one in here"]));
    let found = journals(dir.path()).unwrap();
    let is_free = |at: usize| !matches!(found[at].take_over(), Ok(Holder::Somebody));
    assert!(!is_free(0));
    assert!(soon(|| is_free(1)), "whoever cleans up need not wait for the second");
    assert_eq!(held("one"), ["web: machine one in here"], "it stays held, once");
    assert!(soon(|| held("two").len() == 2));
}

#[tokio::test]
async fn nothing_is_written_before_there_is_something_and_nothing_stays_after() {
    let (journal, dir) = journal();
    journal.insert("web", Arc::new(Thing::new("directory", "output")));
    journal.intend("web", vec![Arc::new(Thing::new("directory", "other"))]).await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let key = thing("key");
    journal.intend("web", vec![key.clone()]).await.unwrap();
    assert_eq!(journal.close(), Some("run".to_owned()), "the key is there");
    assert!(path(&dir).exists());
    journal.gone(&key);
    assert_eq!(journal.close(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_build_that_ends_well_hands_over_all_its_products_at_once() {
    let (journal, dir) = journal();
    let (machine, here, abroad, other) = (thing("m"), image("a"), image("b"), image("c"));
    let made = vec![machine.clone(), here.clone(), abroad.clone()];
    journal.intend("web", made.clone()).await.unwrap();
    journal.intend("db", vec![other]).await.unwrap();
    journal.done(&made).await.unwrap();
    assert!(machine.is_of_done_build());
    let left = ["web: machine m in here", "db: image c"];
    assert_eq!(journal.entry_texts(), left);
    drop(journal);
    let journal = after(&dir);
    assert_eq!(journal.entry_texts(), left);
    let done = |entry: &Entry| entry.thing.is_of_done_build();
    assert_eq!(journal.entries().iter().map(done).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn a_journal_belongs_to_its_run_while_that_is_alive() {
    let (journal, dir) = journal();
    journal.intend("web", vec![thing("one")]).await.unwrap();
    let [found] = journals(dir.path()).unwrap().try_into().unwrap();
    assert!(matches!(found.take_over().unwrap(), Holder::Somebody));
    drop(journal);
    // A program that another test starts has all files of this process until it is on its way.
    let is_ours = || matches!(found.take_over().unwrap(), Holder::Us(_));
    for _ in 0..100 {
        if is_ours() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the journal of a run that is over belongs to somebody");
}

#[tokio::test]
async fn a_torn_last_line_was_never_written_and_a_broken_one_is_said() {
    let (journal, dir) = journal();
    journal.intend("web", vec![thing("one")]).await.unwrap();
    journal.intend("web", vec![thing("two")]).await.unwrap();
    drop(journal);
    let whole = fs::read(path(&dir)).unwrap();
    let first = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    for cut in 0..whole.len() {
        fs::write(path(&dir), &whole[..cut]).unwrap();
        let journal = after(&dir);
        assert_eq!(journal.entry_texts().len(), usize::from(cut >= first), "{cut}");
        // What comes after it stands on a line of its own.
        journal.intend("web", vec![thing("three")]).await.unwrap();
        drop(journal);
        assert_eq!(
            after(&dir).entry_texts().last().unwrap(),
            "web: machine three in here",
            "{cut}"
        );
    }
    fs::write(path(&dir), [&whole[..first], b"{\"intent\":7}\n", &whole[first..]].concat())
        .unwrap();
    let found = &journals(dir.path()).unwrap()[0];
    let error = found.take_over().unwrap_err().to_string();
    assert!(error.starts_with("line 3 cannot be understood: "), "{error}");
    fs::write(path(&dir), "{\"imgbake\":{\"journal\":2}}\n").unwrap();
    let error = found.take_over().unwrap_err().to_string();
    assert!(error.contains("it is of version 2; use a newer imgbake"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_written_is_not_made() {
    let (journal, dir) = journal();
    fs::write(path(&dir), "").unwrap();
    assert!(journal.intend("web", vec![thing("one")]).await.is_err());
    assert!(journal.entry_texts().is_empty());
}

#[tokio::test]
async fn only_its_owner_can_read_a_journal() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let journals = dir.path().join("state/journal");
    let journal = Journal::in_dir(&journals, "run");
    journal.intend("web", vec![thing("one")]).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&journals.join("run.jsonl")), 0o600);
    assert_eq!(mode(&journals), 0o700);
}

#[tokio::test]
async fn only_regular_files_of_this_user_are_journals_and_looking_changes_none() {
    let (journal, dir) = journal();
    journal.intend("web", vec![thing("one")]).await.unwrap();
    drop(journal);
    let torn = fs::read_to_string(path(&dir)).unwrap() + r#"{"made":{"en"#;
    fs::write(path(&dir), &torn).unwrap();
    assert_eq!(after(&dir).entry_texts(), ["web: machine one in here"]);
    assert_eq!(fs::read_to_string(path(&dir)).unwrap(), torn, "who only looks changes nothing");
    let taken = after(&dir);
    taken.made(&taken.entries()[0].thing, "i-1");
    assert!(fs::read_to_string(path(&dir)).unwrap().ends_with("\"id\":\"i-1\"}}\n"));
    drop(taken);
    fs::remove_file(path(&dir)).unwrap();

    let other = tempfile::tempdir().unwrap();
    let target = other.path().join("notes");
    fs::write(&target, "mine").unwrap();
    std::os::unix::fs::symlink(&target, path(&dir)).unwrap();
    let fifo = dir.path().join("pipe.jsonl");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    fs::write(dir.path().join("text.jsonl"), "dear diary").unwrap();
    for found in journals(dir.path()).unwrap() {
        assert!(found.take_over().is_err() && found.of_living().is_err(), "{}", found.run);
    }
    assert!(Journal::in_dir(dir.path(), "next").of_dead(|_| true).is_empty(), "and nobody waits");
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
}

#[tokio::test]
async fn what_a_dead_run_had_finished_stays_listed_until_it_is_given_up() {
    let (journal, dir) = journal();
    let (ami, key) = (image("ami"), thing("key"));
    journal.intend("web", vec![ami.clone(), key.clone()]).await.unwrap();
    journal.intend("db", vec![image("other")]).await.unwrap();
    journal.made(&ami, "ami-1");
    journal.finished("web").await.unwrap();
    assert_eq!(journal.entry_texts().len(), 3, "the run itself may still take it back");
    drop(journal);
    let journal = after(&dir);
    assert_eq!(journal.entry_texts(), ["web: machine key in here", "db: image other"]);
    let kept = |journal: &Journal| -> Vec<String> {
        journal.product_entries().iter().map(|entry| entry.thing.in_full()).collect()
    };
    assert_eq!(kept(&journal), ["image ami-1 (ami)"]);
    journal.entries().iter().for_each(|entry| journal.gone(&entry.thing));
    assert_eq!(journal.close(), None, "nothing is left behind");
    drop(journal);
    let journal = after(&dir);
    assert_eq!(kept(&journal), ["image ami-1 (ami)"], "but it is listed still");
    journal.give_up_products();
    assert_eq!(journal.entry_texts(), ["image ami-1".to_owned()].map(|one| format!("web: {one}")));
    journal.gone(&journal.entries()[0].thing);
    assert_eq!(journal.close(), None);
    assert!(!path(&dir).exists());
}

#[tokio::test]
async fn what_is_kept_for_another_run_stays_until_its_time_is_over() {
    let (journal, dir) = journal();
    let (machine, key) = (thing("machine"), thing("key"));
    journal.intend("web", vec![machine.clone(), key.clone()]).await.unwrap();
    journal.made(&machine, "i-1");
    let until: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    journal.reserve_until(&machine, until).await.unwrap();
    assert!(journal.is_reserved(&machine) && !journal.is_reserved(&key));
    assert_eq!(journal.untouched(), ["web: machine key in here"]);
    let kept = ["web: machine i-1 in here, until 2026-01-01T12:00:00Z"];
    assert_eq!(journal.reserved(), kept);
    drop(journal);
    let hour = jiff::SignedDuration::from_hours(1);
    let journal = after(&dir);
    assert_eq!(journal.take_reserved(until - hour), kept);
    assert_eq!(journal.entry_texts(), ["web: machine key in here"]);
    journal.entries().iter().for_each(|entry| journal.gone(&entry.thing));
    assert_eq!(journal.close(), None);
    drop(journal);
    let journal = after(&dir);
    assert!(journal.take_reserved(until).is_empty());
    assert_eq!(journal.entry_texts(), ["web: machine i-1 in here"], "its time is over");
    journal.release(&journal.entries()[0].thing);
    drop(journal);
    assert!(after(&dir).take_reserved(until - hour).is_empty());
}
