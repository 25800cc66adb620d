//! The state that attempts share, and the requests that read and write it.

/// A request that reads or writes shared state. All other requests read constants: if one fails, the result is that of
/// a failure of the next request that the model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    Tags,
    Current,
    List,
    ReadRecord,
    DescribeJob,
    Claim,
    /// Lists only the record's versions.
    ListRecord,
    Sign,
    Copy,
    CreateStream,
    DescribeStream,
    CreateJob,
    Receipt,
    /// Only mutants send it.
    DeleteStream,
}

/// One of two job IDs: 0 from the first tags, 1 from the later tags.
pub type JobId = u8;

/// The record, merged from all its versions: the receipt, or else the oldest claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    pub job_id: JobId,
    pub is_receipt: bool,
    /// True if the record has a single version.
    pub has_one_version: bool,
    /// True if a delete marker hides the record.
    pub is_hidden: bool,
}

impl Record {
    pub fn claim(job_id: JobId) -> Self {
        Self { job_id, is_receipt: false, has_one_version: true, is_hidden: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Job {
    None,
    Present,
    Deleted,
}

/// The shared state of all attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::struct_excessive_bools, reason = "the flags are independent")]
pub struct World {
    pub tags: JobId,
    pub is_current: bool,
    pub record: Option<Record>,
    pub is_signed: bool,
    pub is_copied: bool,
    pub has_stream: bool,
    pub jobs: [Job; 2],
    /// The number of jobs created so far.
    pub created: u8,
}

impl World {
    pub const NEW: Self = Self {
        tags: 0,
        is_current: true,
        record: None,
        is_signed: false,
        is_copied: false,
        has_stream: false,
        jobs: [Job::None; 2],
        created: 0,
    };

    /// Applies a request, and returns its response.
    pub fn perform(&mut self, call: Call, job_id: JobId) -> Response {
        match call {
            Call::Tags => return Response::Tags(self.tags),
            Call::Current => return Response::Present(self.is_current),
            Call::List => {
                return Response::Listed { record: self.record.is_some(), is_signed: self.is_signed };
            }
            Call::ListRecord => return Response::Versions(self.record.map(|record| record.has_one_version)),
            Call::ReadRecord => return self.record.map_or(Response::Failed, Response::Record),
            Call::DescribeJob => return Response::Present(self.jobs[usize::from(job_id)] == Job::Present),
            Call::DescribeStream => return Response::Present(self.has_stream),
            Call::Claim => match &mut self.record {
                // S3 accepts a claim over a delete marker.
                Some(record) if record.is_hidden => (record.has_one_version, record.is_hidden) = (false, false),
                Some(_) => return Response::Exists,
                None => self.record = Some(Record::claim(job_id)),
            },
            Call::Sign => self.is_signed = true,
            Call::Copy => self.is_copied = true,
            Call::CreateStream if self.has_stream => return Response::Exists,
            Call::CreateStream => self.has_stream = true,
            Call::CreateJob if self.jobs[usize::from(job_id)] == Job::Present => return Response::Exists,
            Call::CreateJob => {
                self.jobs[usize::from(job_id)] = Job::Present;
                self.created += 1;
            }
            Call::Receipt => {
                let has_one_version = self.record.is_none();
                self.record = Some(Record { job_id, is_receipt: true, has_one_version, is_hidden: false });
            }
            Call::DeleteStream => self.has_stream = false,
        }
        Response::Done
    }

    /// Puts a delete marker over the record.
    pub fn hide_record(&mut self) {
        self.record.iter_mut().for_each(|record| record.is_hidden = true);
    }
}

/// The response to a request, as an attempt receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Response {
    Tags(JobId),
    Present(bool),
    Listed {
        record: bool,
        is_signed: bool,
    },
    Record(Record),
    /// True if the record has a single version; `None` without a record.
    Versions(Option<bool>),
    Done,
    Exists,
    Failed,
}
