use super::*;

use futures::FutureExt as _;

/// How a post-processor of a test treats its input; its output is called as itself.
#[derive(Clone, Copy)]
enum Does {
    /// Makes a new artifact; keeps its input by default or not.
    Makes {
        keep: bool,
        forced: bool,
    },
    /// Hands its input on, which it needs kept.
    Passes,
    /// Makes nothing.
    Ends,
    Fails,
}

const COMPRESS: Does = Does::Makes { keep: false, forced: false };
const CHECKSUM: Does = Does::Makes { keep: true, forced: true };
const IMPORT: Does = Does::Makes { keep: true, forced: false };

struct Case {
    promise: &'static str,
    chains: &'static [&'static [(&'static str, Does, Option<bool>)]],
    results: &'static str,
    destroyed: &'static str,
    failed: bool,
}

const CASES: &[Case] = &[
    Case {
        promise: "without post-processors the builder's artifact stays",
        chains: &[],
        results: "image",
        destroyed: "",
        failed: false,
    },
    Case {
        promise: "what is not kept is destroyed",
        chains: &[&[("zip", COMPRESS, None)]],
        results: "zip",
        destroyed: "image",
        failed: false,
    },
    Case {
        promise: "keep_input_artifact keeps it, before the others",
        chains: &[&[("zip", COMPRESS, Some(true))]],
        results: "image zip",
        destroyed: "",
        failed: false,
    },
    Case {
        promise: "keep_input_artifact = false is obeyed where it is only the default to keep",
        chains: &[&[("import", IMPORT, Some(false))]],
        results: "import",
        destroyed: "image",
        failed: false,
    },
    Case {
        promise: "keep_input_artifact = false is ignored by those that need the input",
        chains: &[&[("sum", CHECKSUM, Some(false))]],
        results: "image sum",
        destroyed: "",
        failed: false,
    },
    Case {
        promise: "later in a chain it is about the artifact before",
        chains: &[&[("zip", COMPRESS, None), ("sum", CHECKSUM, None), ("import", COMPRESS, None)]],
        results: "zip import",
        destroyed: "sum image",
        failed: false,
    },
    Case {
        promise: "one chain that keeps is enough, and all start from the builder's artifact",
        chains: &[&[("zip", COMPRESS, None)], &[("sum", CHECKSUM, None)]],
        results: "image zip sum",
        destroyed: "",
        failed: false,
    },
    Case {
        promise: "an artifact that is handed on is listed for each who handed it on",
        chains: &[&[("manifest", Does::Passes, None)], &[("manifest", Does::Passes, None)]],
        results: "image image image",
        destroyed: "",
        failed: false,
    },
    Case {
        promise: "a handed-on artifact that is not kept goes when all chains have seen it",
        chains: &[
            &[("manifest", Does::Passes, None), ("zip", COMPRESS, None)],
            &[("sum", CHECKSUM, None)],
        ],
        results: "zip sum",
        destroyed: "image",
        failed: false,
    },
    Case {
        promise: "no artifact ends a chain",
        chains: &[&[("gone", Does::Ends, None), ("never", CHECKSUM, None)]],
        results: "",
        destroyed: "image",
        failed: false,
    },
    Case {
        promise: "a failure ends its own chain only",
        chains: &[
            &[("bad", Does::Fails, None), ("never", CHECKSUM, None)],
            &[("sum", CHECKSUM, None)],
        ],
        results: "image sum",
        destroyed: "",
        failed: true,
    },
    Case {
        promise: "what a failed chain made before stays, and is listed",
        chains: &[&[("zip", COMPRESS, None), ("bad", Does::Fails, None)]],
        results: "zip",
        destroyed: "image",
        failed: true,
    },
];

fn planned(
    (name, does, keep): (&'static str, Does, Option<bool>),
    destroyed: &Arc<Mutex<Vec<String>>>,
) -> PlannedPostProcessor {
    let destroyed = destroyed.clone();
    post_processor(name, keep, move |input| {
        let made: Arc<dyn Artifact> = Arc::new(Named {
            name: name.to_owned(),
            destroyed: destroyed.clone(),
            indestructible: false,
        });
        let (artifact, keep_input, keep_forced) = match does {
            Does::Makes { keep, forced } => (Some(made), keep, forced),
            Does::Passes => (Some(input), true, true),
            Does::Ends => (None, false, false),
            Does::Fails => anyhow::bail!("disk full"),
        };
        Ok(Processed { artifact, keep_input, keep_forced })
    })
}

#[tokio::test]
async fn what_stays_and_what_is_destroyed() {
    for case in CASES {
        let destroyed = Arc::<Mutex<Vec<String>>>::default();
        let notes = destroyed.clone();
        let mut one = build("x", move |_| {
            let image =
                Named { name: "image".into(), destroyed: notes.clone(), indestructible: false };
            async { Ok(Some(Arc::new(image) as Arc<dyn Artifact>)) }.boxed()
        });
        let chain = |chain: &&[_]| chain.iter().map(|one| planned(*one, &destroyed)).collect();
        one.post_processors = case.chains.iter().map(chain).collect();
        let (outcome, _) = run(vec![one], &request()).await;
        let made = &outcome.builds[0];
        let results: Vec<_> = made.artifacts.iter().map(|artifact| artifact.id()).collect();
        assert_eq!(results.join(" "), case.results, "{}", case.promise);
        assert_eq!(destroyed.lock().unwrap().join(" "), case.destroyed, "{}", case.promise);
        assert_eq!(made.error.is_some(), case.failed, "{}", case.promise);
    }
}

#[tokio::test]
async fn post_processors_say_who_they_are() {
    let notes = Arc::default();
    let mut one = build("x", |_| async { Ok(Some(artifact("image"))) }.boxed());
    let named = PlannedPostProcessor {
        name: Some("upload".into()),
        ..planned(("shell-local", Does::Fails, None), &notes)
    };
    one.post_processors = vec![vec![planned(("manifest", Does::Passes, None), &notes), named]];
    let (outcome, said) = run(vec![one], &request()).await;
    let expected = [
        "x| Running post-processor: manifest",
        "x (manifest)| given image",
        "x| Running post-processor: upload (type shell-local)",
        "x (shell-local)| given image",
    ];
    assert_eq!(said, expected);
    assert_eq!(errors(&outcome), ["template.json:2:3: Post-processor failed: disk full"]);
}

#[tokio::test]
async fn an_artifact_that_cannot_be_destroyed_is_an_error_and_left_behind() {
    let mut one = build("x", |_| {
        let image = Named { name: "image".into(), destroyed: Arc::default(), indestructible: true };
        async { Ok(Some(Arc::new(image) as Arc<dyn Artifact>)) }.boxed()
    });
    one.post_processors = vec![vec![planned(("zip", COMPRESS, None), &Arc::default())]];
    let (outcome, _) = run(vec![one], &request()).await;
    let error = "cannot destroy an artifact (the image): permission denied";
    assert_eq!(errors(&outcome), [error]);
    assert_eq!(outcome.left_behind, ["x: artifact the image (permission denied)"]);
}
