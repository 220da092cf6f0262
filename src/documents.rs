//! The programs of the course and of the other documents are compiled and run with the tests.

macro_rules! documents {
    ($($name:ident $file:literal)*) => {$(
        #[doc = include_str!(concat!("../", $file))]
        struct $name;
    )*};
}
documents! {
    Readme "README.md"
    FromPytorch "docs/from_pytorch.md"
    FromJax "docs/from_jax.md"
    FromBurnAndCandle "docs/from_burn_and_candle.md"
    LanguageModels "docs/language_models.md"
    C01 "docs/course/01-a-derivative-by-hand.md"
    C02 "docs/course/02-a-tape-of-scalars.md"
    C03 "docs/course/03-the-reverse-sweep.md"
    C04 "docs/course/04-tensors-and-broadcasting.md"
    C05 "docs/course/05-rules-as-programs.md"
    C06 "docs/course/06-gradients-of-gradients.md"
    C07 "docs/course/07-memory-and-reset.md"
    C08 "docs/course/08-fused-expressions.md"
    C09 "docs/course/09-a-layer-a-loss-an-optimiser.md"
    C10 "docs/course/10-pruning.md"
    C11 "docs/course/11-quantisation-and-distillation.md"
    Questions "docs/course/questions.md"
    C12 "docs/course/12-the-shortest-program.md"
}
