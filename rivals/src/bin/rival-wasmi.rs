fn main(){ let _ = wasmi::Engine::default(); }
