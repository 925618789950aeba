//! The registry that the arguments name, opened.

use std::fmt::Display;
use std::io::{self, IsTerminal, Read, Write};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use cssc_core::{Config, Inventory, Repository};
use cssc_engine::policy_artifact::PolicyArtifact;
use cssc_engine::registry::{
    Credential, InventoryRegistry, InventorySource, LayoutRegistry, ListProgress, OciOptions,
    OciRegistry, RegistryClient, RegistryError, RegistryLocation, list_all,
};

use cssc_engine::tool::Access;

use crate::args::RegistryArgs;
use crate::exit::Failure;
use crate::{output, source};

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::new(error.to_string())
    }
}

impl RegistryArgs {
    /// Whether standard input is spoken for.
    pub(crate) fn reads_standard_input(&self) -> bool {
        self.password_stdin
            || self.registry == RegistryLocation::Inventory(InventorySource::StandardInput)
    }

    fn oci_options(&self, login: Option<&(String, String)>) -> OciOptions {
        let mut options = OciOptions::default()
            .concurrency(self.concurrency)
            .timeout(self.timeout)
            .plain_http(self.plain_http)
            .insecure_skip_tls_verify(self.insecure_skip_tls_verify);
        if let Some(path) = &self.ca_file {
            options = options.ca_file(path);
        }
        if let Some((username, password)) = login {
            options = options.credential(Credential::password(username, password));
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
    location: RegistryLocation,
    client: Box<dyn RegistryClient>,
    concurrency: NonZeroUsize,
    /// All there is to know, when the registry is an inventory: nothing is listed, or copied.
    inventory: Option<Inventory>,
    access: Access,
}

impl Registry {
    pub(crate) fn open(args: &RegistryArgs) -> Result<Self, Failure> {
        let mut inventory = None;
        let mut login = None;
        let client: Box<dyn RegistryClient> = match &args.registry {
            RegistryLocation::Inventory(source) => {
                let registry = match source {
                    InventorySource::File(path) => InventoryRegistry::open(path)?,
                    InventorySource::StandardInput => {
                        InventoryRegistry::from_reader(io::stdin().lock(), "<stdin>")?
                    }
                };
                inventory = Some(registry.inventory().clone());
                Box::new(registry)
            }
            RegistryLocation::Layout(path) => Box::new(LayoutRegistry::open(path)?),
            RegistryLocation::Registry(name) => {
                login = args.login()?;
                Box::new(OciRegistry::new(name, args.oci_options(login.as_ref()))?)
            }
        };
        Ok(Self {
            location: args.registry.clone(),
            client,
            concurrency: args.concurrency,
            inventory,
            access: access(args, login),
        })
    }

    /// The registry as a person names it, completed.
    pub(crate) fn name(&self) -> String {
        self.location.to_string()
    }

    /// The host, for what only works over the network.
    pub(crate) fn host(&self) -> Result<&cssc_core::Registry, Failure> {
        match &self.location {
            RegistryLocation::Registry(host) => Ok(host),
            other => Err(Failure::new(format!(
                "cycles run on registries that tools can pull from and push to, which `{other}` \
                 is not"
            ))),
        }
    }

    /// How tools reach the registry.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn client(&self) -> &dyn RegistryClient {
        &*self.client
    }

    /// The tags of `repositories`.
    pub(crate) fn list(&self, repositories: &[&Repository]) -> Inventory {
        if let Some(inventory) = &self.inventory {
            return inventory.clone();
        }
        let repositories: Vec<Repository> = repositories.iter().map(|&name| name.clone()).collect();
        let mut progress = Progress::new();
        let inventory = list_all(self.client(), &repositories, self.concurrency, |listed| {
            progress.tell(&listed);
        });
        progress.clear();
        inventory
    }

    /// The policy that is stored in the registry, valid.
    pub(crate) fn stored_policy(&self) -> Result<Config, Failure> {
        let stored = self.stored_artifact()?;
        source::valid("<registry>", &stored.policy)
    }

    /// The policy that is stored in the registry, as it is.
    pub(crate) fn stored_artifact(&self) -> Result<PolicyArtifact, Failure> {
        PolicyArtifact::pull(self.client())?.ok_or_else(|| {
            Failure::No(format!(
                "`{}` has no stored policy: push one with `cssc policy push`",
                self.location
            ))
        })
    }
}

/// Tools get the login of the arguments or of the environment; what docker and podman have stored
/// they find themselves.
fn access(args: &RegistryArgs, login: Option<(String, String)>) -> Access {
    let access = Access::default().insecure(args.plain_http || args.insecure_skip_tls_verify);
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let login = login
        .or_else(|| variable("CSSC_REGISTRY_USERNAME").zip(variable("CSSC_REGISTRY_PASSWORD")));
    match login {
        Some((username, password)) => access.login(username, password),
        None => access,
    }
}

/// How far a long listing has come, on a terminal.
struct Progress {
    begin: Instant,
    told: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// What is done sooner needs no progress.
    const PATIENCE: Duration = Duration::from_millis(500);
    const PAUSE: Duration = Duration::from_millis(100);

    fn new() -> Self {
        Self {
            begin: Instant::now(),
            told: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    fn tell(&mut self, listed: &ListProgress<'_>) {
        let is_due = self.told.is_none_or(|told| told.elapsed() >= Self::PAUSE);
        if self.is_terminal && self.begin.elapsed() >= Self::PATIENCE && is_due {
            self.told = Some(Instant::now());
            let ListProgress { done, total, .. } = listed;
            // Nobody is left to tell when standard error is gone.
            let _ = write!(
                io::stderr(),
                "\r\x1b[Klisted {done} of {total} repositories"
            );
        }
    }

    fn clear(&self) {
        if self.told.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
