//! The pictures of screens that get into the page: the last ones of each build, if they are pictures,
//! and small enough.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::build::Build;
use super::run::Run;
use crate::peer::{read_regular, relative_path};
use crate::reach::Reach;

/// How many of a build are shown. The last ones tell most.
const LAST: usize = 4;
/// No picture is larger, in bytes.
const LARGEST: usize = 128 << 10;
/// What the names of directories end in that have pictures of screens.
const DIRECTORY: &str = ".screens";

/// A picture as a URL with all of it, or why there is none.
type Url = Result<String, String>;

/// The pictures below a directory that were read, by the paths that a log gives them: each is read once.
pub(super) struct Shelf<'a> {
    dir: &'a Path,
    reach: Reach,
    read: HashMap<String, Url>,
}

impl<'a> Shelf<'a> {
    /// That of `dir`, from which nothing was read yet.
    pub fn of(dir: &'a Path) -> Self {
        Self { dir, reach: Reach::within([dir]), read: HashMap::new() }
    }

    /// The pictures that `run` tells of, with `room` bytes for all of them.
    pub fn album(&mut self, run: &Run, room: usize) -> Album<'_> {
        let mut all = HashMap::new();
        if room == 0 {
            return Album(all);
        }
        let with_pictures = || run.builds.values().filter(|build| !build.pictures.is_empty());
        for (path, _) in with_pictures().flat_map(last) {
            if !self.read.contains_key(path) {
                self.read.insert(path.clone(), self.url(path));
            }
        }
        let share = room / with_pictures().count().max(1);
        for build in with_pictures() {
            let mut left = share;
            // From the last one back: the first ones give way.
            for (path, _) in last(build).rev() {
                let Some((path, url)) = self.read.get_key_value(path) else { continue };
                let shown = match url {
                    Ok(url) if url.len() > left => Err("it is too large for this page"),
                    Ok(url) => Ok(url.as_str()),
                    Err(why) => Err(why.as_str()),
                };
                left -= shown.map_or(0, str::len);
                all.insert(path.as_str(), shown);
            }
        }
        Album(all)
    }

    /// The picture in the file `path`. A log can name any file; only what is there is shown, links
    /// followed, and only a picture of a screen.
    fn url(&self, path: &str) -> Url {
        let outside = "it is not below this directory";
        let path = Path::new(path);
        let inside = relative_path(path.strip_prefix(self.dir).unwrap_or(path));
        let inside = inside.map_err(|_| outside)?;
        let directory = inside.parent().and_then(Path::file_name).unwrap_or_default();
        if !directory.as_encoded_bytes().ends_with(DIRECTORY.as_bytes()) {
            return Err(format!("it is in no directory of pictures, `…{DIRECTORY}`"));
        }
        let path = self.dir.join(inside);
        self.reach.check(&path).map_err(|_| outside)?;
        let bytes = read_regular(&path, LARGEST as u64).map_err(|error| error.to_string())?;
        let kind = kind(&bytes).ok_or("it is no PNG and no JPEG")?;
        Ok(format!("data:image/{kind};base64,{}", BASE64.encode(bytes)))
    }
}

/// What kind of picture that is; `None` if it is none.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some("jpeg");
    }
    png::Decoder::new(std::io::Cursor::new(bytes)).read_info().ok().map(|_| "png")
}

/// The pictures that a page has room for, by their paths: the URL, or why there is none.
pub(super) struct Album<'a>(HashMap<&'a str, Result<&'a str, &'a str>>);

impl Album<'_> {
    /// The last pictures of `build`, in order.
    pub fn last_of<'b>(
        &'b self,
        build: &'b Build,
    ) -> impl Iterator<Item = (Result<&'b str, &'b str>, &'b (String, String))> {
        last(build).filter_map(|one| Some((*self.0.get(one.0.as_str())?, one)))
    }
}

fn last(build: &Build) -> impl DoubleEndedIterator<Item = &(String, String)> {
    build.pictures.iter().skip(build.pictures.len().saturating_sub(LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
        bytes
    }

    #[test]
    fn only_small_pictures_of_this_directory_are_taken() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("in");
        std::fs::create_dir_all(dir.join("x.screens")).unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
        put("x.screens/good.png", &tiny());
        put("x.screens/good.jpg", b"\xff\xd8\xff\xe0 and so on");
        put("x.screens/bad.png", b"<svg onload=x>");
        put("x.screens/large.png", &vec![0; LARGEST + 1]);
        put("elsewhere.png", &tiny());
        put("../out.png", &tiny());
        std::os::unix::fs::symlink("../../out.png", dir.join("x.screens/link.png")).unwrap();
        std::os::unix::fs::symlink("..", dir.join("up.screens")).unwrap();
        let shelf = Shelf::of(&dir);
        let url = |path: &str| shelf.url(path);
        for path in ["x.screens/good.png", "./x.screens/good.png"] {
            assert!(url(path).unwrap().starts_with("data:image/png;base64,"), "{path}");
        }
        assert!(url(dir.join("x.screens/good.png").to_str().unwrap()).is_ok());
        assert!(url("x.screens/good.jpg").unwrap().starts_with("data:image/jpeg;base64,"));
        let outside = "it is not below this directory";
        for (path, why) in [
            ("x.screens/bad.png", "it is no PNG and no JPEG"),
            ("x.screens/large.png", ""),
            ("x.screens/none.png", "No such file"),
            ("x.screens/link.png", outside),
            ("up.screens/out.png", outside),
            ("elsewhere.png", "it is in no directory of pictures"),
            ("/dev/zero", outside),
            ("../out.png", outside),
            (".", ""),
        ] {
            let refused = url(path).unwrap_err();
            assert!(refused.contains(why), "{path}: {refused}");
        }
    }

    #[test]
    fn the_last_pictures_get_the_room_that_there_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("x.screens")).unwrap();
        let mut run = Run::default();
        for number in 1..=2 {
            let path = format!("x.screens/{number}.png");
            std::fs::write(dir.path().join(&path), tiny()).unwrap();
            run.hear(&format!("1700000000,web,picture,{path},then"));
        }
        let mut shelf = Shelf::of(dir.path());
        let one = shelf.url("x.screens/1.png").unwrap().len();
        let mut shown = |room| {
            let album = shelf.album(&run, room);
            album.last_of(&run.builds["web"]).map(|(url, _)| url.is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(shown(2 * one), [true, true]);
        assert_eq!(shown(2 * one - 1), [false, true]);
        assert_eq!(shown(1), [false, false]);
        assert!(shown(0).is_empty());
    }
}
