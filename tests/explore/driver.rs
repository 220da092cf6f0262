//! A browser that a test can steer: chromedriver's WebDriver protocol over plain HTTP, no more of it than is needed.
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Errors are messages: a test shows them and ends.
pub type Outcome<T> = Result<T, String>;

pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

impl Browser {
    /// A browser with an empty profile.
    pub fn start() -> Outcome<Browser> {
        let started =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = started.map_err(|e| format!("chromedriver: {e}"))?;
        let Some(port) = driver.stdout.take().and_then(port) else {
            let _ = driver.kill();
            return Err("chromedriver did not say on which port it listens".into());
        };
        let profile = std::env::temp_dir().join(format!("kolmo-browser-{}", std::process::id()));
        fs::create_dir_all(&profile).map_err(|e| e.to_string())?;
        let mut browser = Browser { driver, port, session: String::new(), profile };
        let profile = format!("--user-data-dir={}", browser.profile.display());
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
            &profile,
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
        if !self.session.is_empty() {
            let _ = self.send("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
