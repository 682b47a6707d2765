use flushproof_model::{configs, explore::*, mutants};
fn main() {
    let arg = std::env::args().nth(1).unwrap_or_default();
    for c in &mutants::MUTANTS {
        if !arg.is_empty() && arg != c.name {continue}
        let f = explore(&c.model(), Search { limit: 30_000_000, trace: true });
        println!("{:20} {:?} {} depth {} {:?}", c.name, f.verdict, f.states, f.depth, f.time);
        if !arg.is_empty() { for s in f.trace { println!("   {s}"); } }
    }
    if arg.is_empty() {
    for c in configs::SMALL {
        let f = explore(&c.model(), Search { limit: 30_000_000, trace: false });
        println!("{:20} {:?} {} depth {} {:?}", c.name, f.verdict, f.states, f.depth, f.time);
        if let Verdict::Broken(_) = f.verdict {
            let f = explore(&c.model(), Search { limit: 30_000_000, trace: true });
            for s in f.trace { println!("   {s}"); }
        }
    }}
}
