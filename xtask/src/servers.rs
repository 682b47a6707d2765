//! `cargo xtask servers`: the real servers of the tests, by hand.

use flushproof_testbed::{Bed, Server, all};

pub const HELP: &str = "\
usage: cargo xtask servers COMMAND [SERVER]...

  install             install what is missing; it is kept outside the build folder
  install mount       the machine alone that mounts NFS for tests
  up [--json]         start them; one row for each: name, uri, and the environment
                      that the journal command needs for it
  status [--json]     the state of each process
  down                kill them and remove their data
  kill SERVER ID      kill -9 of one process       (as the tests do)
  stop SERVER ID      SIGSTOP                      cont SERVER ID     SIGCONT
  start SERVER ID     start it if it is dead       restart SERVER ID  kill -9 and start

Without a SERVER, all of them. Tests start servers of their own and need none of these.
FLUSHPROOF_CACHE says where programs and data are kept (a folder on a disk).";

/// Runs one of them.
pub fn servers(args: &[&str]) -> Result<(), String> {
    let json = args.contains(&"--json");
    let words: Vec<&str> = args.iter().copied().filter(|a| *a != "--json").collect();
    match words[..] {
        ["install"] => install_all(),
        ["install", "mount"] => install_machine(),
        ["install", ref names @ ..] => chosen(names)?.into_iter().try_for_each(install),
        ["up", ref names @ ..] => up(&chosen(names)?, json),
        ["status", ref names @ ..] => status(&chosen(names)?, json),
        ["down", ref names @ ..] => chosen(names)?.into_iter().try_for_each(down),
        [what, name, id] => hook(what, name, id),
        _ => Err(HELP.into()),
    }
}

/// Installs all servers; a step of `ci`.
pub fn install_all() -> Result<(), String> {
    all().into_iter().try_for_each(install)?;
    install_machine()
}

/// No server: an emulated machine that mounts the exports of one.
fn install_machine() -> Result<(), String> {
    flushproof_testbed::mount::install()?;
    println!("mount: installed");
    Ok(())
}

/// Installs the server of that name, if there is one.
pub fn install_if_server(name: &str) -> Result<(), String> {
    by_name(name).map_or(Ok(()), install)
}

fn chosen(names: &[&str]) -> Result<Vec<&'static dyn Server>, String> {
    if names.is_empty() {
        return Ok(all());
    }
    names.iter().map(|name| by_name(name)).collect()
}

fn by_name(name: &str) -> Result<&'static dyn Server, String> {
    let found = all().into_iter().find(|s| s.name() == name);
    found.ok_or_else(|| {
        let known: Vec<_> = all().iter().map(|s| s.name()).collect();
        format!("{name} is no server; there are {}", known.join(", "))
    })
}

fn install(server: &'static dyn Server) -> Result<(), String> {
    let name = server.name();
    if let Err(what) = server.installed() {
        println!("{name}: {what} is missing: installing");
        server.install()?;
        server
            .installed()
            .map_err(|what| format!("{name}: {what} is still missing after its installation"))?;
    }
    println!("{name}: installed");
    Ok(())
}

fn up(servers: &[&'static dyn Server], json: bool) -> Result<(), String> {
    let mut rows = vec![];
    for server in servers {
        if let (Err(_), false) = (server.installed(), json) {
            install(*server)?;
        }
        let bed = Bed::up(*server)?;
        if json {
            let env = bed.env();
            let env = env
                .iter()
                .map(|(k, v)| format!("{}: {}", quoted(k), quoted(v)));
            let env: Vec<_> = env.collect();
            rows.push(format!(
                "  {{\"name\": {}, \"uri\": {}, \"env\": {{{}}}}}",
                quoted(server.name()),
                quoted(&bed.uri()),
                env.join(", ")
            ));
        } else {
            let env = bed.env();
            let env: String = env.iter().map(|(k, v)| format!("{k}='{v}' ")).collect();
            println!("{}: {env}journal … {}", server.name(), bed.uri());
        }
    }
    if json {
        println!("[\n{}\n]", rows.join(",\n"));
    }
    Ok(())
}

fn status(servers: &[&'static dyn Server], json: bool) -> Result<(), String> {
    let mut rows = vec![];
    for server in servers {
        let bed = Bed::known(*server)?;
        for id in server.processes() {
            let hook = bed.as_ref().map(|bed| bed.process(id));
            let pid = hook.and_then(|h| h.pid());
            let state = match hook.and_then(|h| h.state()) {
                None => "down",
                Some('T') => "stopped",
                Some(_) => "up",
            };
            let name = server.name();
            if json {
                let pid = pid.map_or("null".into(), |p| p.to_string());
                rows.push(format!(
                    "  {{\"name\": {}, \"process\": {}, \"state\": {}, \"pid\": {pid}}}",
                    quoted(name),
                    quoted(id),
                    quoted(state)
                ));
            } else {
                let pid = pid.map_or(String::new(), |p| format!(" (pid {p})"));
                println!("{name} {id}: {state}{pid}");
            }
        }
    }
    if json {
        println!("[\n{}\n]", rows.join(",\n"));
    }
    Ok(())
}

fn down(server: &'static dyn Server) -> Result<(), String> {
    let name = server.name();
    match Bed::known(server)? {
        Some(bed) => bed.down()?,
        None => println!("{name}: was not up"),
    }
    println!("{name}: down");
    Ok(())
}

fn hook(what: &str, name: &str, id: &str) -> Result<(), String> {
    let server = by_name(name)?;
    let Some(bed) = Bed::known(server)? else {
        return Err(format!(
            "{name} is not up; say: cargo xtask servers up {name}"
        ));
    };
    if !bed.processes().contains(&id) {
        let all = bed.processes().join(", ");
        return Err(format!("{name} has no process {id}; it has {all}"));
    }
    let process = bed.process(id);
    match what {
        "kill" => process.kill(),
        "stop" => process.stop(),
        "cont" => process.cont(),
        "start" => process.start(),
        "restart" => process.restart(),
        _ => Err(HELP.into()),
    }?;
    println!("{name} {id}: {what} done");
    Ok(())
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
