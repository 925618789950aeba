//! Registries.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use cssc_core::cycle::PublishStep;
use cssc_core::{Digest, Listing, Repository, Tag, TagConvention};
use cssc_engine::policy_artifact::PolicyArtifact;
use cssc_engine::step::publish;
use cssc_engine::story::Story;
use cssc_registry::{
    Credential, InventoryRegistry, InventorySource, LayoutRegistry, ListOptions, OciOptions,
    OciRegistry, Reference, RegistryAddress, RegistryClient, RegistryError, RegistryErrorKind,
    list_all,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::convert::{error, invalid, to_dict, to_python};
use crate::plan::{Plan, plan_of};
use crate::policy::Policy;

/// How often a call that waits for a registry looks whether somebody pressed Ctrl-C.
const CHECK: Duration = Duration::from_millis(100);

/// A registry.
#[pyclass(frozen, module = "cssc")]
pub(crate) struct Client {
    address: RegistryAddress,
    inner: Arc<dyn RegistryClient>,
    list_options: ListOptions,
}

#[pymethods]
impl Client {
    /// Open a registry. Nothing is sent yet.
    #[new]
    #[pyo3(signature = (registry, /, *, username = None, password = None, token = None,
        timeout = 30.0, list_timeout = 900.0, concurrency = 16,
        plain_http = false, ca_file = None, insecure_skip_tls_verify = false))]
    #[expect(clippy::too_many_arguments, reason = "they have names in Python")]
    fn new(
        py: Python<'_>,
        registry: &str,
        username: Option<&str>,
        password: Option<&str>,
        token: Option<&str>,
        timeout: f64,
        list_timeout: f64,
        concurrency: i64,
        plain_http: bool,
        ca_file: Option<PathBuf>,
        insecure_skip_tls_verify: bool,
    ) -> PyResult<Self> {
        let address: RegistryAddress = registry.parse().map_err(|error| invalid(py, error))?;
        let concurrency = usize::try_from(concurrency)
            .ok()
            .and_then(NonZeroUsize::new);
        let concurrency =
            concurrency.ok_or_else(|| invalid(py, "`concurrency` must be a number above 0"))?;
        let mut options = OciOptions::default()
            .concurrency(concurrency)
            .timeout(seconds(py, "timeout", timeout)?)
            .plain_http(plain_http)
            .insecure_skip_tls_verify(insecure_skip_tls_verify);
        if let Some(path) = ca_file {
            options = options.ca_file(path);
        }
        match (username, password, token) {
            (None, None, None) => {}
            (Some(username), Some(password), None) => {
                options = options.credential(Credential::password(username, password));
            }
            (None, None, Some(token)) => options = options.credential(Credential::token(token)),
            _ => {
                let message = "give a username and a password, or a token, or none of them";
                return Err(PyValueError::new_err(message));
            }
        }
        let client = open(&address, options).map_err(|error| failed(py, &error))?;
        Ok(Self {
            address,
            inner: client,
            list_options: ListOptions::default()
                .concurrency(concurrency)
                .timeout(seconds(py, "list_timeout", list_timeout)?),
        })
    }

    /// The registry, completed.
    #[getter]
    fn registry(&self) -> String {
        self.address.to_string()
    }

    /// All tags of a repository in byte order; None when there is no such repository.
    #[pyo3(signature = (repository, /))]
    fn tags(&self, py: Python<'_>, repository: &str) -> PyResult<Option<Vec<String>>> {
        let name: Repository = repository.parse().map_err(|error| invalid(py, error))?;
        let client = Arc::clone(&self.inner);
        match interruptible(py, move || client.list_tags(&name))? {
            Listing::Found(tags) => Ok(Some(tags.iter().map(String::from).collect())),
            Listing::Absent => Ok(None),
            Listing::Unavailable(reason) => {
                let text = format!("cannot list `{repository}`: {reason}");
                let kind = RegistryError::from(reason).kind();
                Err(error(py, "RegistryError", (text, name_of(kind))))
            }
        }
    }

    /// The digest that a tag stands for, or a digest itself where it is there; None otherwise.
    #[pyo3(signature = (repository, reference, /))]
    fn digest(
        &self,
        py: Python<'_>,
        repository: &str,
        reference: &str,
    ) -> PyResult<Option<String>> {
        let repository: Repository = repository.parse().map_err(|error| invalid(py, error))?;
        let reference = if reference.contains(':') {
            Reference::Digest(reference.parse().map_err(|error| invalid(py, error))?)
        } else {
            Reference::Tag(reference.parse().map_err(|error| invalid(py, error))?)
        };
        let client = Arc::clone(&self.inner);
        let found = interruptible(py, move || client.resolve(&repository, &reference))?;
        let found = found.map_err(|error| failed(py, &error))?;
        Ok(found.map(|found| found.digest.to_string()))
    }

    /// Write a tag for an image that is in the repository by its digest: `published`, or `tagTaken`
    /// where the tag stands for something else than this digest and the one it may replace.
    #[pyo3(signature = (repository, tag, digest, /, *, replaces = None))]
    fn publish<'py>(
        &self,
        py: Python<'py>,
        repository: &str,
        tag: &str,
        digest: &str,
        replaces: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let replaces = replaces.map(str::parse::<Digest>).transpose();
        let step = PublishStep {
            repository: repository.parse().map_err(|error| invalid(py, error))?,
            tag: tag.parse().map_err(|error| invalid(py, error))?,
            replaces: replaces.map_err(|error| invalid(py, error))?,
            digest: digest.parse().map_err(|error| invalid(py, error))?,
        };
        let client = Arc::clone(&self.inner);
        let outcome = interruptible(py, move || publish(&step, &*client))?;
        to_dict(py, &outcome.map_err(|error| failed(py, &error))?)
    }

    /// Plan a policy for this registry: the tags of all its repositories are listed side by side.
    #[pyo3(signature = (policy, /, *, dialect = "documented", limit = cssc_core::plan::ImageLimit::default().get()))]
    fn plan(
        &self,
        py: Python<'_>,
        policy: &Bound<'_, PyAny>,
        dialect: &str,
        limit: Option<u64>,
    ) -> PyResult<Plan> {
        let policy = Policy::from_any(policy)?;
        let names = policy.enabled_repositories().into_iter().cloned();
        let names: Vec<Repository> = names.collect();
        let (client, options) = (Arc::clone(&self.inner), self.list_options.clone());
        let inventory = interruptible(py, move || list_all(&*client, &names, &options, |_| ()))?;
        plan_of(py, policy, inventory, dialect, limit)
    }

    /// The policy that is stored in this registry; None when there is none.
    fn policy(&self, py: Python<'_>) -> PyResult<Option<Policy>> {
        let client = Arc::clone(&self.inner);
        let stored = interruptible(py, move || PolicyArtifact::pull(&*client))?;
        let stored = stored.map_err(|error| failed(py, &error))?;
        stored
            .map(|stored| Policy::from_bytes(py, &stored.policy))
            .transpose()
    }

    /// The story of an image: the original and its patches, where each comes from, what it fixed
    /// and what is attached to it; None when it is not there.
    #[pyo3(signature = (image, /, *, tag_convention = "incremental"))]
    fn image<'py>(
        &self,
        py: Python<'py>,
        image: &str,
        tag_convention: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (repository, tag) = image
            .split_once(':')
            .ok_or_else(|| invalid(py, format!("`{image}` names no tag: `{image}:TAG`")))?;
        let repository: Repository = repository.parse().map_err(|error| invalid(py, error))?;
        let tag: Tag = tag.parse().map_err(|error| invalid(py, error))?;
        let convention: TagConvention =
            tag_convention.parse().map_err(|error| invalid(py, error))?;
        let client = Arc::clone(&self.inner);
        let story = interruptible(py, move || match client.list_tags(&repository) {
            Listing::Found(tags) => Story::read(&*client, &repository, &tag, &tags, convention),
            Listing::Absent => Ok(None),
            Listing::Unavailable(reason) => Err(reason.into()),
        })?;
        let story = story.map_err(|error| failed(py, &error))?;
        let story = story.map(|story| serde_json::to_value(story).unwrap_or_default());
        story.map(|story| to_python(py, &story)).transpose()
    }

    fn __repr__(&self) -> String {
        format!("<Client: {}>", self.address)
    }
}

fn open(
    address: &RegistryAddress,
    options: OciOptions,
) -> Result<Arc<dyn RegistryClient>, RegistryError> {
    Ok(match address {
        RegistryAddress::Registry(name) => Arc::new(OciRegistry::new(name, options)?),
        RegistryAddress::Layout(path) => Arc::new(LayoutRegistry::open(path)?),
        RegistryAddress::Inventory(InventorySource::File(path)) => {
            Arc::new(InventoryRegistry::open(path)?)
        }
        RegistryAddress::Inventory(InventorySource::StandardInput) => Arc::new(
            InventoryRegistry::from_reader(std::io::stdin().lock(), "<stdin>")?,
        ),
    })
}

fn seconds(py: Python<'_>, name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| invalid(py, format!("`{name}` must be a number of seconds above 0")))
}

/// `cssc.RegistryError`.
fn failed(py: Python<'_>, failure: &RegistryError) -> PyErr {
    let arguments = (failure.to_string(), name_of(failure.kind()));
    error(py, "RegistryError", arguments)
}

fn name_of(kind: RegistryErrorKind) -> &'static str {
    match kind {
        RegistryErrorKind::Absent => "absent",
        RegistryErrorKind::Unauthorized => "unauthorized",
        RegistryErrorKind::Unsupported => "unsupported",
        RegistryErrorKind::Input => "input",
        RegistryErrorKind::Answer => "answer",
        _ => "unavailable",
    }
}

/// Waits for the registry without holding up other threads of Python. Ctrl-C ends the waiting;
/// what was sent is finished by itself, within its time limit.
fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // Nobody waits any more after Ctrl-C.
        let _ = sender.send(work());
    });
    let receiver = Mutex::new(receiver);
    let receive = || {
        let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.recv_timeout(CHECK)
    };
    loop {
        match py.detach(receive) {
            Ok(done) => return Ok(done),
            Err(mpsc::RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the call to the registry panicked"));
            }
        }
    }
}
