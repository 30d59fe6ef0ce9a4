//! What a machine's screen shows, as pictures.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::peer::read_regular;
use crate::vm::qmp::Qmp;

/// The largest screen that is looked at: what a guest may set is less.
const MOST_PIXELS: u64 = 8192 * 8192;
/// One in so many pixels must differ for a screen to have changed: more than a blinking cursor, less
/// than a new menu.
const SHARE_OF_A_CHANGE: usize = 100;

/// What a screen showed in one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    width: u32,
    height: u32,
    /// Three bytes each: red, green, blue.
    pixels: Vec<u8>,
}

impl Frame {
    /// Has QEMU write its screen into the file `path`, and reads that.
    ///
    /// QEMU writes PPM in all its versions, PNG only since 7.1; and pixels are needed to compare.
    pub(super) async fn of(qmp: &Qmp, path: &Path) -> anyhow::Result<Self> {
        qmp.execute("screendump", json!({ "filename": path })).await?;
        let path = path.to_owned();
        let read = move || {
            let frame = read_regular(&path, MOST_PIXELS * 3 + 64).map(|bytes| Self::parse(&bytes));
            // Gone or not: it is in a directory that goes with the machine.
            let _ = std::fs::remove_file(&path);
            frame.context("cannot read the picture of the screen")?
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// Reads a picture in the form PPM, as QEMU writes it.
    fn parse(ppm: &[u8]) -> anyhow::Result<Self> {
        let mut words = ppm.splitn(4, |byte| byte.is_ascii_whitespace());
        let mut word = || std::str::from_utf8(words.next()?).ok();
        let header = (word(), word(), word());
        let (Some("P6"), Some(width), Some(height)) = header else {
            bail!("QEMU's picture of the screen is no PPM file");
        };
        let (width, height): (u32, u32) = (width.parse()?, height.parse()?);
        let pixels = words.next().and_then(|rest| rest.strip_prefix(b"255\n")).unwrap_or_default();
        let expected = u64::from(width) * u64::from(height) * 3;
        if pixels.len() as u64 != expected || expected == 0 {
            bail!("QEMU's picture of the screen has {} bytes, not {expected}", pixels.len());
        }
        Ok(Self { width, height, pixels: pixels.to_vec() })
    }

    /// Whether a part of it that people notice is other than in `before`.
    pub fn differs_from(&self, before: &Self) -> bool {
        if (self.width, self.height) != (before.width, before.height) {
            return true;
        }
        let pixels = self.pixels.chunks_exact(3).zip(before.pixels.chunks_exact(3));
        let (all, other) = (pixels.len(), pixels.filter(|(now, before)| now != before).count());
        other * SHARE_OF_A_CHANGE >= all
    }

    /// What tells it from others.
    pub(super) fn digest(&self) -> [u8; 32] {
        let size = [self.width.to_le_bytes(), self.height.to_le_bytes()].concat();
        Sha256::new().chain_update(size).chain_update(&self.pixels).finalize().into()
    }

    /// One of a single shade.
    #[cfg(test)]
    pub(super) fn filled(width: u32, height: u32, shade: u8) -> Self {
        Self { width, height, pixels: vec![shade; (width * height * 3) as usize] }
    }

    /// As a PNG file.
    pub fn to_png(&self) -> anyhow::Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32, white: usize) -> Frame {
        let mut frame = Frame::filled(width, height, 0);
        frame.pixels[..white * 3].fill(255);
        frame
    }

    #[test]
    fn a_ppm_file_is_read_and_a_broken_one_refused() {
        let mut file = b"P6\n2 1\n255\n".to_vec();
        file.extend([255, 255, 255, 0, 0, 0]);
        assert_eq!(Frame::parse(&file).unwrap(), frame(2, 1, 1));
        for wrong in
            [&b""[..], b"P6", b"P6\n2 1\n255\n123", b"P5\n2 1\n255\n123456", b"P6\n0 0\n255\n"]
        {
            assert!(Frame::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_hundredth_of_the_screen_is_a_change_and_a_cursor_is_none() {
        let before = frame(640, 480, 0);
        assert!(!frame(640, 480, 9 * 16).differs_from(&before));
        assert!(frame(640, 480, 6 * 640).differs_from(&before));
        assert!(frame(800, 600, 0).differs_from(&before));
    }

    #[test]
    fn a_png_file_shows_the_same() {
        let shown = frame(64, 32, 100);
        let file = shown.to_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, pixels), (64, 32, shown.pixels));
    }
}
