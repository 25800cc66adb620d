//! The platform of the agent: storage, image state and restarts.

use std::cell::RefCell;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use rustot::ota::encoding::FileContext;
use rustot::ota::pal::{ImageState, OtaPal, OtaPalError, PalImageState, Version};

use crate::board::Board;

type Result<T> = std::result::Result<T, OtaPalError<()>>;

/// The storage of a board.
pub struct Storage(pub Rc<RefCell<Board>>);

impl OtaPal for Storage {
    type Error = ();

    fn abort(&mut self, _: &FileContext) -> Result<()> {
        self.0.borrow_mut().download = None;
        Ok(())
    }

    fn create_file_for_rx(&mut self, _: &FileContext) -> Result<()> {
        self.0.borrow_mut().start_download().map_err(|_| OtaPalError::FileWriteFailed)
    }

    fn get_platform_image_state(&mut self) -> Result<PalImageState> {
        Ok(self.0.borrow().image_state)
    }

    fn set_platform_image_state(&mut self, state: ImageState<()>) -> Result<()> {
        let state = match state {
            ImageState::Accepted => PalImageState::Valid,
            ImageState::Testing(_) => PalImageState::PendingCommit,
            ImageState::Aborted(_) | ImageState::Rejected(_) | ImageState::Unknown => PalImageState::Invalid,
        };
        self.0.borrow_mut().image_state = state;
        Ok(())
    }

    /// Starts the new image: a boot loader would run it now, and go back to the old image if it failed its test.
    fn reset_device(&mut self) -> Result<()> {
        let mut board = self.0.borrow_mut();
        board.updates += 1;
        board.image_state = PalImageState::PendingCommit;
        board.is_restarting = true;
        Ok(())
    }

    fn close_file(&mut self, file: &FileContext) -> Result<()> {
        let mut board = self.0.borrow_mut();
        board.close(&file.certfile, &file.filepath).map_err(|_| OtaPalError::SignatureCheckFailed)
    }

    fn write_block(&mut self, _: &FileContext, offset: usize, payload: &[u8]) -> Result<usize> {
        let mut board = self.0.borrow_mut();
        let file = board.download.as_ref().ok_or(OtaPalError::BadFileHandle)?;
        file.write_all_at(payload, offset as u64).map_err(|_| OtaPalError::FileWriteFailed)?;
        board.blocks += 1;
        board.bytes += payload.len();
        Ok(payload.len())
    }

    fn get_active_firmware_version(&self) -> Result<Version> {
        Ok(Version::new(1, 0, self.0.borrow().updates))
    }
}
