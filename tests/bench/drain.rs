//! Reads its input to the end: the least that a program does which is handed an event.
fn main() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
}
