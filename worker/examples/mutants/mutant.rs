//! Creates a mutant from its number.

use std::fmt;

use common::package::ModelFormat;

use crate::bases::{Base, Bases};
use crate::change::{archive, bytes, hdf5, json};
use crate::random::Random;

/// A changed file, or a malicious one.
pub(crate) struct Mutant {
    pub(crate) kind: Kind,
    /// The name of the valid file.
    pub(crate) base: String,
    pub(crate) bytes: Vec<u8>,
}

/// What is changed in which kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Hdf5Bytes,
    Hdf5Structure,
    Hdf5Json,
    ArchiveBytes,
    ArchiveMetadata,
    ArchiveJson,
    ArchiveWeights,
    Config,
    Hdf5Bomb,
    ArchiveBomb,
}

/// How often each is made.
const SHARES: [Kind; 22] = [
    Kind::Hdf5Bytes,
    Kind::Hdf5Structure,
    Kind::Hdf5Structure,
    Kind::Hdf5Structure,
    Kind::Hdf5Json,
    Kind::ArchiveBytes,
    Kind::ArchiveMetadata,
    Kind::ArchiveJson,
    Kind::ArchiveJson,
    Kind::ArchiveWeights,
    Kind::ArchiveWeights,
    Kind::Config,
    Kind::Hdf5Bytes,
    Kind::Hdf5Structure,
    Kind::Hdf5Structure,
    Kind::Hdf5Json,
    Kind::Hdf5Json,
    Kind::ArchiveBytes,
    Kind::ArchiveJson,
    Kind::ArchiveJson,
    Kind::ArchiveWeights,
    Kind::Config,
];

impl Mutant {
    /// Creates the mutant of this number. The first ones are the malicious files, unchanged: each takes as long as a
    /// hundred others, and once is enough.
    pub(crate) fn new(bases: &Bases, number: u64) -> Self {
        let bombs = bases.hdf5_bombs.iter().map(|base| (Kind::Hdf5Bomb, base));
        let bombs = bombs.chain(bases.archive_bombs.iter().map(|base| (Kind::ArchiveBomb, base)));
        for (bomb, (kind, base)) in (0..).zip(bombs) {
            if bomb == number {
                return Self { kind, base: base.name.clone(), bytes: base.bytes.clone() };
            }
        }
        let mut random = Random::new(number);
        let kind = random.pick(SHARES);
        let list = match kind {
            Kind::Hdf5Bytes | Kind::Hdf5Structure | Kind::Hdf5Json => &bases.hdf5,
            Kind::ArchiveBytes | Kind::ArchiveMetadata | Kind::ArchiveJson | Kind::ArchiveWeights => {
                &bases.archives
            }
            Kind::Config => &bases.configs,
            Kind::Hdf5Bomb => &bases.hdf5_bombs,
            Kind::ArchiveBomb => &bases.archive_bombs,
        };
        let base = &list[random.below(list.len())];
        Self { kind, base: base.name.clone(), bytes: changed(kind, base, &mut random) }
    }
}

fn changed(kind: Kind, base: &Base, random: &mut Random) -> Vec<u8> {
    let mut file = base.bytes.clone();
    let (entry, change): (_, fn(&mut Vec<u8>, &mut Random)) = match kind {
        Kind::Hdf5Structure => {
            hdf5::change_structure(&mut file, random);
            return file;
        }
        Kind::Hdf5Json => {
            hdf5::change_text(&mut file, random);
            return file;
        }
        Kind::Hdf5Bytes | Kind::ArchiveBytes => {
            bytes::change(&mut file, random);
            return file;
        }
        Kind::Config => {
            json::change(&mut file, random);
            return file;
        }
        Kind::Hdf5Bomb | Kind::ArchiveBomb => return file,
        Kind::ArchiveMetadata => ("metadata.json", json::change),
        Kind::ArchiveJson => ("config.json", json::change),
        Kind::ArchiveWeights => ("model.weights.h5", change_weights),
    };
    archive::change_entry(&file, entry, random, change).unwrap_or_else(|_| {
        // Some of the files are not archives.
        bytes::change(&mut file, random);
        file
    })
}

fn change_weights(contents: &mut Vec<u8>, random: &mut Random) {
    if random.one_in(4) {
        bytes::change(contents, random);
    } else {
        hdf5::change_structure(contents, random);
    }
}

impl Kind {
    /// How it is opened; a config is not a model.
    pub(crate) fn format(self) -> Option<ModelFormat> {
        match self {
            Self::Hdf5Bytes | Self::Hdf5Structure | Self::Hdf5Json | Self::Hdf5Bomb => {
                Some(ModelFormat::Hdf5)
            }
            Self::ArchiveBytes
            | Self::ArchiveMetadata
            | Self::ArchiveJson
            | Self::ArchiveWeights
            | Self::ArchiveBomb => Some(ModelFormat::KerasArchive),
            Self::Config => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hdf5Bytes => "hdf5-bytes",
            Self::Hdf5Structure => "hdf5-structure",
            Self::Hdf5Json => "hdf5-json",
            Self::ArchiveBytes => "keras-bytes",
            Self::ArchiveMetadata => "keras-metadata",
            Self::ArchiveJson => "keras-json",
            Self::ArchiveWeights => "keras-weights",
            Self::Config => "config",
            Self::Hdf5Bomb => "hdf5-bomb",
            Self::ArchiveBomb => "keras-bomb",
        })
    }
}
