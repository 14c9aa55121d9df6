//! Layers that do nothing at inference, each with its reason. Their settings do not matter and are not read.

use crate::layers::{Layer, libraries};
use crate::reader::Reader;

/// Why layers of a class do nothing at inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It does nothing at all.
    NothingToDo,
    /// It drops values or adds noise in training only, scaled so that inference needs no counterpart.
    RegularizesTraining,
    /// It augments images in training only.
    AugmentsTraining,
}

/// The reason for which a class does nothing at inference, if it does nothing.
pub(super) fn reason(class: &str) -> Option<Reason> {
    match class {
        "Identity" => Some(Reason::NothingToDo),
        "Dropout"
        | "SpatialDropout1D"
        | "SpatialDropout2D"
        | "SpatialDropout3D"
        | "AlphaDropout"
        | "GaussianDropout"
        | "GaussianNoise"
        | "ActivityRegularization" => Some(Reason::RegularizesTraining),
        // RandomCrop is missing: at inference it crops the centre. So are AutoContrast and the adaptive histogram
        // equalization, which do the same at inference as in training.
        "RandomBrightness"
        | "RandomColorDegeneration"
        | "RandomColorJitter"
        | "RandomContrast"
        | "RandomElasticTransform"
        | "RandomErasing"
        | "RandomFlip"
        | "RandomGaussianBlur"
        | "RandomGrayscale"
        | "RandomHeight"
        | "RandomHue"
        | "RandomInvert"
        | "RandomPerspective"
        | "RandomPosterization"
        | "RandomRotation"
        | "RandomSaturation"
        | "RandomSharpness"
        | "RandomShear"
        | "RandomTranslation"
        | "RandomWidth"
        | "RandomZoom"
        | "AugMix"
        | "CutMix"
        | "MixUp"
        | "RandAugment"
        | "Equalization"
        | "MaxNumBoundingBoxes"
        | "Solarization" => Some(Reason::AugmentsTraining),
        _ if libraries::is_inert(class) => Some(Reason::RegularizesTraining),
        _ => None,
    }
}

pub(super) fn inert(reader: &mut Reader) -> Layer {
    reader.ignore_everything();
    Layer::Identity
}
