//! A browser that a test can steer: chromedriver's WebDriver protocol over plain HTTP, no more of it than is
//! needed.
use crate::Folder;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Errors are messages: a test shows them and ends.
pub type Outcome<T> = Result<T, String>;

pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: Folder,
}

impl Browser {
    /// A browser to test with. Where there is none the test is left out, but for continuous integration.
    pub fn for_test() -> Option<Browser> {
        let message = match Browser::start() {
            Ok(browser) => return Some(browser),
            Err(message) => message,
        };
        assert!(std::env::var_os("CI").is_none(), "no browser to test with: {message}");
        eprintln!("left out, since there is no browser to test with: {message}");
        None
    }

    /// One with an empty profile.
    fn start() -> Outcome<Browser> {
        // The path of a socket in it must be short, so it isn't under `target/`.
        let profile = Folder::within(&std::env::temp_dir(), "kolmo-browser");
        let mut command = Command::new("chromedriver");
        // What it writes into a home folder of its own goes with it.
        command
            .arg("--port=0")
            .env("HOME", &*profile)
            .env("TMPDIR", &*profile)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME");
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = started.map_err(|e| format!("chromedriver: {e}"))?;
        let Some(port) = driver.stdout.take().and_then(port) else {
            let _ = driver.kill();
            return Err("chromedriver did not say on which port it listens".into());
        };
        let user_data = format!("--user-data-dir={}", profile.display());
        let mut browser = Browser { driver, port, session: String::new(), profile };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &user_data,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.send("POST", "/session", &wanted)?;
        browser.session = session["sessionId"].as_str().unwrap_or_default().to_string();
        Ok(browser)
    }

    pub fn open(&self, url: &str) -> Outcome<()> {
        self.command("/url", &json!({"url": url})).map(drop)
    }

    /// What a piece of JavaScript returns.
    pub fn run(&self, script: &str) -> Outcome<Value> {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Presses keys, one after the other; special ones by their WebDriver code.
    pub fn press(&self, keys: &str) -> Outcome<()> {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.command("/actions", &actions).map(drop)
    }

    /// What one of Chromium's own tools says.
    pub fn devtools(&self, tool: &str, parameters: &Value) -> Outcome<Value> {
        self.command("/goog/cdp/execute", &json!({"cmd": tool, "params": parameters}))
    }

    /// Goes into a frame of the page, by its number, or back to the page.
    pub fn frame(&self, number: Option<usize>) -> Outcome<()> {
        self.command("/frame", &json!({"id": number})).map(drop)
    }

    /// What the page has written to the console since the last call.
    pub fn console(&self) -> Outcome<Vec<String>> {
        let log = self.command("/se/log", &json!({"type": "browser"}))?;
        Ok(log.as_array().into_iter().flatten().map(|entry| entry["message"].to_string()).collect())
    }

    fn command(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.send("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        let body = body.to_string();
        let port = self.port;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(port, &request).map_err(|e| format!("{method} {path}: {e}"))?;
        let answer: Value =
            serde_json::from_str(&answer).map_err(|e| format!("{method} {path}: {e}: {answer}"))?;
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{method} {path}: {error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }
}

/// Sends a request and gives the answer's body, which has a length.
fn exchange(port: u16, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The port that chromedriver chose: `ChromeDriver was started successfully on port 40123.`
fn port(stdout: impl Read) -> Option<u16> {
    BufReader::new(stdout).lines().take(20).map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("successfully on port ")?;
        rest.trim_end_matches('.').parse().ok()
    })
}

impl Drop for Browser {
    fn drop(&mut self) {
        // An empty object: chromedriver refuses a request without parameters, and the browser would go on
        // running.
        let quit = self.send("DELETE", &format!("/session/{}", self.session), &json!({}));
        if quit.is_err() {
            // All that it started is in its group.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.driver.id())]).status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // The browser may take a moment to end, and writes into its folder until then.
        for _ in 0..200 {
            if !is_used(&self.profile) {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}

/// Whether a process that was started with this folder is still there; where nothing tells, none is.
fn is_used(folder: &Path) -> bool {
    let name = folder.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(&name))
}
