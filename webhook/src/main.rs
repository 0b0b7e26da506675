//! The program.

use clap::Parser;
use hybridnet_webhook::flags::Flags;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    flags.logs.start();
    hybridnet_webhook::run::run(flags).await?;
    Ok(())
}
