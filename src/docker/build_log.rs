//! What an engine tells while it builds an image.

use std::collections::{HashMap, HashSet};

use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

use crate::event::{Stream, Ui};
use crate::guest::{GuestOutput as _, ShowLines};

/// BuildKit's number for a standard error.
const STDERR: i64 = 2;

/// Shows it. BuildKit does several things side by side: their lines do not mix.
pub(super) struct BuildLog {
    ui: Ui,
    /// What the builder of old tells.
    lines: ShowLines,
    /// What BuildKit has begun, and what of that tells something.
    begun: HashSet<String>,
    running: HashMap<String, ShowLines>,
}

impl BuildLog {
    pub fn new(ui: &Ui) -> Self {
        Self {
            ui: ui.clone(),
            lines: ShowLines::new(ui.clone()),
            begun: HashSet::new(),
            running: HashMap::new(),
        }
    }

    /// Shows a part of what the builder of old tells.
    pub async fn text(&mut self, text: &str) {
        self.lines.chunk(Stream::Stdout, text.as_bytes()).await;
    }

    /// Shows what BuildKit tells.
    pub async fn news(&mut self, news: StatusResponse) {
        for vertex in &news.vertexes {
            self.begin(vertex).await;
        }
        for log in &news.logs {
            self.log(log).await;
        }
        for warning in &news.warnings {
            let text = String::from_utf8_lossy(&warning.short);
            self.text(&format!("Warning: {text}\n")).await;
        }
        for vertex in news.vertexes.iter().filter(|vertex| vertex.completed.is_some()) {
            if let Some(lines) = self.running.remove(&vertex.digest) {
                lines.finish().await;
            }
        }
    }

    /// Says what is done now, once.
    async fn begin(&mut self, vertex: &Vertex) {
        let is_new = vertex.started.is_some() || vertex.cached;
        if is_new && self.begun.insert(vertex.digest.clone()) {
            let from_cache = if vertex.cached { " (from the cache)" } else { "" };
            self.text(&format!("{}{from_cache}\n", vertex.name)).await;
        }
    }

    async fn log(&mut self, log: &VertexLog) {
        let new = || ShowLines::new(self.ui.clone());
        let lines = self.running.entry(log.vertex.clone()).or_insert_with(new);
        let stream = if log.stream == STDERR { Stream::Stderr } else { Stream::Stdout };
        lines.chunk(stream, &log.msg).await;
    }

    /// Shows what is left of last lines.
    pub async fn finish(self) {
        for lines in self.running.into_values().chain([self.lines]) {
            lines.finish().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::google::protobuf::Timestamp;

    use super::*;
    use crate::event::Message;

    fn vertex(name: &str, completed: bool) -> Vertex {
        let completed = completed.then(Timestamp::default);
        let started = Some(Timestamp::default());
        Vertex { digest: name.into(), name: name.into(), started, completed, ..Vertex::default() }
    }

    fn log(vertex: &str, text: &str) -> VertexLog {
        VertexLog { vertex: vertex.into(), msg: text.into(), stream: 1, ..VertexLog::default() }
    }

    #[tokio::test]
    async fn what_runs_side_by_side_does_not_mix_and_each_thing_is_named_once() {
        let (ui, mut said) = Ui::new();
        let telling = tokio::spawn(async move {
            let mut shown = BuildLog::new(&ui);
            let both = vec![vertex("RUN a", false), vertex("RUN b", false)];
            let logs = vec![log("RUN a", "one "), log("RUN b", "three\n")];
            let begun = StatusResponse { vertexes: both, logs, ..StatusResponse::default() };
            shown.news(begun).await;
            let logs = vec![log("RUN a", "two\n"), log("RUN b", "four")];
            let cached = Vertex { cached: true, ..vertex("COPY c", true) };
            let vertexes = vec![vertex("RUN a", true), vertex("RUN b", true), cached];
            shown.news(StatusResponse { vertexes, logs, ..StatusResponse::default() }).await;
            assert!(shown.running.is_empty(), "all have ended");
            shown.finish().await;
        });
        let mut lines = Vec::new();
        while let Some(event) = said.recv().await {
            if let Message::Output { text, .. } = event.message {
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        telling.await.unwrap();
        let expected = ["RUN a", "RUN b", "three", "COPY c (from the cache)", "one two", "four"];
        assert_eq!(lines, expected);
    }
}
