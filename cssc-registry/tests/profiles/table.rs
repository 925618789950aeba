//! The habits of registries, as their users report them.

/// What a registry does differently from others.
#[expect(clippy::struct_excessive_bools, reason = "habits are that")]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    pub(crate) login: Login,
    /// The path before every repository.
    pub(crate) prefix: &'static str,
    /// What a look at a repository that is not there is answered with.
    pub(crate) unknown_repository: Answer,
    /// What a manifest that is not there is answered with, and one whose tag was deleted.
    pub(crate) unknown_manifest: Answer,
    pub(crate) deleted_tag: Answer,
    /// Whether a repository is made by writing to it.
    pub(crate) creates: bool,
    /// The most tags that may be asked for at a time, and the answer to more.
    pub(crate) most_tags: Option<(usize, Answer)>,
    pub(crate) page_len: usize,
    /// The next page, from host, path and query; none when all come at once.
    pub(crate) link: Option<fn(&str, &str, &str) -> String>,
    /// What a deletion of a tag and of a digest is answered with, where it is not done.
    pub(crate) no_tag_deletion: Option<Answer>,
    pub(crate) no_digest_deletion: Option<Answer>,
    /// What the referrers API answers where there is none.
    pub(crate) no_referrers: Option<Answer>,
    /// The answer to a tag that is written over.
    pub(crate) immutable: Option<Answer>,
    /// Whether types of artifacts and configurations are held against a list.
    pub(crate) has_type_list: bool,
    /// Whether the tag `sha256-HEX` stands for the manifest of that digest.
    pub(crate) has_digest_tags: bool,
    /// Whether blobs come from another host.
    pub(crate) redirects_blobs: bool,
    /// What a credential that ran out is answered with.
    pub(crate) expired: Answer,
}

/// Status and code; without a code the body is a page.
pub(crate) type Answer = (u16, &'static str);

/// How one is let in.
#[derive(Clone, Copy)]
pub(crate) enum Login {
    Open,
    Basic,
    /// With tokens for these actions, others being refused by 400, and what the challenge to a
    /// deletion names.
    Tokens {
        knows: &'static [&'static str],
        delete: &'static str,
        /// Whether a token for deletion is one without that right.
        denies_deletion: bool,
    },
}

const ANY: Login = Login::Tokens {
    knows: &["pull", "pull,push", "delete", "*"],
    delete: "delete",
    denies_deletion: false,
};

const STANDARD: Profile = Profile {
    name: "standard",
    login: ANY,
    prefix: "",
    unknown_repository: (404, "NAME_UNKNOWN"),
    unknown_manifest: (404, "MANIFEST_UNKNOWN"),
    deleted_tag: (404, "MANIFEST_UNKNOWN"),
    creates: true,
    most_tags: None,
    page_len: 1000,
    link: Some(|_, path, query| format!("{path}?{query}")),
    no_tag_deletion: None,
    no_digest_deletion: None,
    no_referrers: None,
    immutable: None,
    has_type_list: false,
    has_digest_tags: false,
    redirects_blobs: false,
    expired: (401, "UNAUTHORIZED"),
};

pub(crate) static ALL: &[Profile] = &[
    Profile {
        name: "distribution 2",
        login: Login::Open,
        link: None,
        page_len: usize::MAX,
        no_tag_deletion: Some((400, "DIGEST_INVALID")),
        no_referrers: Some((404, "")),
        ..STANDARD
    },
    Profile {
        name: "distribution 3",
        login: Login::Basic,
        no_referrers: Some((404, "")),
        ..STANDARD
    },
    Profile {
        name: "Harbor",
        link: Some(|host, path, query| format!("http://{host}{path}?{query}")),
        page_len: 100,
        immutable: Some((412, "PRECONDITION")),
        unknown_manifest: (404, "NOT_FOUND"),
        ..STANDARD
    },
    Profile {
        name: "Quay",
        login: Login::Tokens {
            knows: &["pull", "push", "pull,push", "*"],
            delete: "pull,push",
            denies_deletion: false,
        },
        unknown_repository: (401, "UNAUTHORIZED"),
        deleted_tag: (404, "TAG_EXPIRED"),
        most_tags: Some((100, (400, "PAGINATION_INVALID"))),
        page_len: 50,
        ..STANDARD
    },
    Profile {
        name: "GitLab",
        has_type_list: true,
        has_digest_tags: true,
        no_referrers: Some((404, "")),
        redirects_blobs: true,
        ..STANDARD
    },
    Profile {
        name: "Artifactory by host",
        login: Login::Basic,
        link: Some(|_, path, query| {
            format!(
                "http://127.0.0.1:80{}?{query}",
                path.replace("/v2/", "/v2/key/")
            )
        }),
        no_referrers: Some((404, "NOT_FOUND")),
        ..STANDARD
    },
    Profile {
        name: "Artifactory by path",
        login: Login::Basic,
        prefix: "key",
        link: Some(|_, path, query| format!("{}?{query}", path.replace("/v2/key/", "/v2/"))),
        no_referrers: Some((404, "NOT_FOUND")),
        ..STANDARD
    },
    Profile {
        name: "Nexus",
        login: Login::Basic,
        link: Some(|_, path, query| format!("http://127.0.0.1/repository/docker{path}?{query}")),
        no_referrers: Some((404, "")),
        ..STANDARD
    },
    Profile {
        name: "ECR",
        login: Login::Basic,
        creates: false,
        most_tags: Some((1000, (405, "UNSUPPORTED"))),
        no_tag_deletion: Some((404, "MANIFEST_UNKNOWN")),
        immutable: Some((400, "TAG_INVALID")),
        redirects_blobs: true,
        expired: (403, "DENIED"),
        ..STANDARD
    },
    Profile {
        name: "ECR Public",
        creates: false,
        redirects_blobs: true,
        no_referrers: Some((405, "UNSUPPORTED")),
        expired: (400, "DENIED"),
        ..STANDARD
    },
    Profile {
        name: "GHCR, allowing",
        no_tag_deletion: Some((405, "UNSUPPORTED")),
        no_digest_deletion: Some((405, "UNSUPPORTED")),
        no_referrers: Some((404, "")),
        redirects_blobs: true,
        page_len: 100,
        ..STANDARD
    },
    Profile {
        name: "GHCR, denying",
        unknown_repository: (403, "DENIED"),
        no_tag_deletion: Some((405, "UNSUPPORTED")),
        no_digest_deletion: Some((405, "UNSUPPORTED")),
        no_referrers: Some((403, "DENIED")),
        page_len: 100,
        ..STANDARD
    },
    Profile {
        name: "Google Artifact Registry",
        no_digest_deletion: Some((400, "GOOGLE_MANIFEST_DANGLING_TAG")),
        redirects_blobs: true,
        ..STANDARD
    },
    Profile {
        name: "Docker Hub",
        unknown_repository: (401, "UNAUTHORIZED"),
        no_tag_deletion: Some((405, "UNSUPPORTED")),
        no_digest_deletion: Some((405, "UNSUPPORTED")),
        no_referrers: Some((404, "")),
        redirects_blobs: true,
        page_len: 100,
        ..STANDARD
    },
    Profile {
        name: "Azure",
        login: Login::Tokens {
            knows: &["pull", "pull,push", "delete", "delete,metadata_write"],
            delete: "delete,metadata_write",
            denies_deletion: false,
        },
        page_len: 100,
        ..STANDARD
    },
    Profile {
        name: "Azure with a scope map without deletion",
        login: Login::Tokens {
            knows: &["pull", "pull,push", "delete"],
            delete: "delete",
            denies_deletion: true,
        },
        page_len: 100,
        ..STANDARD
    },
];
