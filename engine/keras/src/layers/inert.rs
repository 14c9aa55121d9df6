//! Layers that do nothing at inference, each with its reason. None of their settings matters, so none is
//! looked at.

use crate::layers::Layer;
use crate::reader::Reader;

/// Why layers of a class pass their input on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is made to do nothing.
    NothingToDo,
    /// It drops or disturbs values while training, scaled so that inference needs no counterpart.
    RegularizesTraining,
    /// It varies images while training only.
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
        // RandomCrop is not here: at inference it cuts the centre out. Nor are AutoContrast and the adaptive
        // histogram equalization, which do the same at inference as while training.
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
        _ => None,
    }
}

pub(super) fn inert(reader: &mut Reader) -> Layer {
    reader.ignore_everything();
    Layer::Identity
}
