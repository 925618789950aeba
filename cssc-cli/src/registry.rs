//! The registry that the arguments name, opened.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cssc_core::policy::Lints;
use cssc_core::tags::TagSet;
use cssc_core::{Inventory, Listing, Policy, Repository, Workflow};
use cssc_engine::policy_artifact::PolicyArtifact;
use cssc_engine::workflow::{self, WorkflowErrorKind};
use cssc_registry::{
    Credential, InventoryRegistry, InventorySource, LayoutRegistry, ListOptions, ListProgress,
    OciOptions, OciRegistry, RegistryAddress, RegistryClient, RegistryError, list_all,
};

use crate::args::RegistryArgs;
use crate::exit::Failure;
use crate::output;
use crate::output::suggest::did_you_mean;
use crate::source::{self, PolicyFile};

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::new(error.to_string())
    }
}

impl RegistryArgs {
    /// What the workflow of the registry is kept under in the state.
    pub(crate) fn workflow_key(&self) -> String {
        self.registry.key()
    }

    /// That a policy does not come from standard input where something else does.
    pub(crate) fn check_standard_input(&self, policy: &PolicyFile) -> Result<(), Failure> {
        if policy.is_standard_input() && self.reads_standard_input() {
            let message = "only one of policy, inventory and password can come from standard input";
            return Err(Failure::new(message));
        }
        Ok(())
    }

    /// Whether standard input is spoken for.
    pub(crate) fn reads_standard_input(&self) -> bool {
        self.password_stdin
            || self.registry == RegistryAddress::Inventory(InventorySource::StandardInput)
    }

    pub(crate) fn list_options(&self) -> ListOptions {
        ListOptions::default()
            .concurrency(self.concurrency)
            .timeout(self.list_timeout)
    }

    /// How registries are asked, with the logins that this user has.
    pub(crate) fn oci_options(&self) -> OciOptions {
        let mut options = OciOptions::default()
            .concurrency(self.concurrency)
            .timeout(self.timeout)
            .plain_http(self.plain_http)
            .insecure_skip_tls_verify(self.insecure_skip_tls_verify);
        if let Some(path) = &self.ca_file {
            options = options.ca_file(path);
        }
        if self.verbose {
            options = options.observer(|request| output::note(&request.to_string()));
        }
        options
    }

    /// The name and password of the arguments.
    fn login(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(username) = &self.username else {
            return Ok(None);
        };
        let password = read_password()?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        Ok(Some((username.clone(), password)))
    }
}

/// The password on standard input.
fn read_password() -> Result<String, Failure> {
    /// Longer than any token that a registry gives for a password.
    const LIMIT: usize = 64 << 10;
    let cannot = |why: &dyn Display| Failure::new(format!("cannot read the password: {why}"));
    let mut password = String::new();
    let limit = u64::try_from(LIMIT).unwrap_or(u64::MAX).saturating_add(1);
    io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut password)
        .map_err(|error| cannot(&error))?;
    if password.len() > LIMIT {
        return Err(cannot(&"it is longer than 64 KiB"));
    }
    Ok(password)
}

/// A registry to ask.
pub(crate) struct Registry {
    location: RegistryAddress,
    client: Arc<dyn RegistryClient>,
    list_options: ListOptions,
    /// All there is to know, when the registry is an inventory: nothing is listed, or copied.
    inventory: Option<Inventory>,
}

impl Registry {
    pub(crate) fn open(args: &RegistryArgs) -> Result<Self, Failure> {
        let mut inventory = None;
        let client: Arc<dyn RegistryClient> = match &args.registry {
            RegistryAddress::Inventory(source) => {
                let registry = match source {
                    InventorySource::File(path) => InventoryRegistry::open(path)?,
                    InventorySource::StandardInput => {
                        InventoryRegistry::from_reader(io::stdin().lock(), "<stdin>")?
                    }
                };
                inventory = Some(registry.inventory().clone());
                Arc::new(registry)
            }
            RegistryAddress::Layout(path) => Arc::new(LayoutRegistry::open(path)?),
            RegistryAddress::Registry(name) => {
                let login = args.login()?;
                let options = args.oci_options();
                Arc::new(OciRegistry::new(
                    name,
                    match login {
                        Some((user, password)) => {
                            options.credential(Credential::password(user, password))
                        }
                        None => options,
                    },
                )?)
            }
        };
        Ok(Self {
            location: args.registry.clone(),
            client,
            list_options: args.list_options(),
            inventory,
        })
    }

    /// The registry as a person names it, completed.
    pub(crate) fn name(&self) -> String {
        self.location.to_string()
    }

    /// What the workflow of the registry is kept under in the state.
    pub(crate) fn workflow_key(&self) -> String {
        self.location.key()
    }

    /// The host, for what only works over the network.
    pub(crate) fn host(&self) -> Result<&cssc_core::Registry, Failure> {
        match &self.location {
            RegistryAddress::Registry(host) => Ok(host),
            other => Err(Failure::new(format!(
                "cycles run on registries, which `{other}` is not"
            ))),
        }
    }

    /// The client, for what shares it with threads of its own.
    pub(crate) fn shared_client(&self) -> &Arc<dyn RegistryClient> {
        &self.client
    }

    pub(crate) fn client(&self) -> &dyn RegistryClient {
        &*self.client
    }

    /// The tags of a repository that must be there.
    pub(crate) fn tags(&self, repository: &Repository) -> Result<TagSet, Failure> {
        let inventory = self.list(&[repository]);
        match inventory.listing(repository) {
            Listing::Found(tags) => Ok(tags.clone()),
            Listing::Absent => {
                let others = inventory.iter().map(|(name, _)| name.as_str());
                let hint = did_you_mean(repository.as_str(), others);
                Err(Failure::No(format!(
                    "the registry has no repository `{repository}`{hint}"
                )))
            }
            Listing::Unavailable(reason) => Err(Failure::new(format!(
                "cannot list `{repository}`: {reason}"
            ))),
        }
    }

    /// The tags of `repositories`.
    pub(crate) fn list(&self, repositories: &[&Repository]) -> Inventory {
        if let Some(inventory) = &self.inventory {
            return inventory.clone();
        }
        let repositories: Vec<Repository> = repositories.iter().map(|&name| name.clone()).collect();
        let mut progress = Progress::new();
        let inventory = list_all(self.client(), &repositories, &self.list_options, |listed| {
            progress.tell(&listed);
        });
        progress.clear();
        inventory
    }

    /// The policy that is stored in the registry, valid, and its workflow if it has a schedule.
    pub(crate) fn stored_workflow(
        &self,
        lints: &Lints,
    ) -> Result<(Policy, Option<Workflow>), Failure> {
        let stored = self.stored_artifact()?;
        let policy = source::valid("<registry>", &stored.policy, lints)?;
        match workflow::from_artifact(stored) {
            Ok(found) => Ok((policy, Some(found.workflow))),
            Err(error) if error.kind() == WorkflowErrorKind::NoSchedule => Ok((policy, None)),
            Err(error) => Err(error.into()),
        }
    }

    /// The policy that is stored in the registry, as it is.
    pub(crate) fn stored_artifact(&self) -> Result<PolicyArtifact, Failure> {
        PolicyArtifact::pull(self.client())?.ok_or_else(|| self.no_policy())
    }

    /// That no policy is stored in the registry.
    pub(crate) fn no_policy(&self) -> Failure {
        Failure::No(format!(
            "`{}` has no stored policy: push one with `cssc policy push`",
            self.location
        ))
    }
}

/// How far a long listing has come: on a terminal in a line that changes, elsewhere in a line now
/// and then.
struct Progress {
    begin: Instant,
    told: Option<Instant>,
    is_live: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            told: None,
            is_live: output::is_live(),
        }
    }

    fn tell(&mut self, progress: &ListProgress<'_>) {
        // What is done sooner needs no progress.
        let (patience, pause) = if self.is_live {
            (Duration::from_millis(500), Duration::from_millis(100))
        } else {
            (Duration::from_secs(10), Duration::from_secs(10))
        };
        let is_due = match self.told {
            None => self.begin.elapsed() >= patience,
            Some(told) => told.elapsed() >= pause,
        };
        if !is_due {
            return;
        }
        self.told = Some(Instant::now());
        if self.is_live {
            // Nobody is left to tell when standard error is gone.
            let _ = write!(io::stderr(), "\r\x1b[K{progress}");
        } else {
            output::note(&progress.to_string());
        }
    }

    fn clear(&self) {
        if self.is_live && self.told.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
