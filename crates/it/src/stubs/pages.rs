//! A server of pages by path, without any login: each path can answer, fail, hang or be slow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;

use super::server::{Server, answer, handler, hang, text_page};

/// What a path does.
#[derive(Debug, Clone)]
pub enum Page {
    /// 200 with this text.
    Text(String),
    /// 200 with this JSON text.
    Json(String),
    /// This status with this text.
    Status(u16, String),
    /// The text, after a while.
    Slow(Duration, String),
    /// No answer ever.
    Hang,
}

/// The running server.
#[derive(Debug)]
pub struct Pages {
    /// What it was asked, and where it is.
    pub server: Server,
    pages: Arc<Mutex<HashMap<String, Page>>>,
}

impl Pages {
    /// Starts with these pages; every other path is 404.
    pub async fn start(pages: &[(&str, &str)]) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), pages)
    }

    /// The same on this listener.
    pub fn start_on(listener: TcpListener, pages: &[(&str, &str)]) -> Self {
        let text =
            |(path, text): &(&str, &str)| ((*path).to_owned(), Page::Text((*text).to_owned()));
        let pages: HashMap<_, _> = pages.iter().map(text).collect();
        let pages = Arc::new(Mutex::new(pages));
        let shared = Arc::clone(&pages);
        let handler = handler(move |seen| {
            let page = shared.lock().unwrap().get(&seen.path).cloned();
            async move {
                match page {
                    Some(Page::Text(text)) => text_page(text),
                    Some(Page::Json(text)) => answer(200, text),
                    Some(Page::Status(status, text)) => answer(status, text),
                    Some(Page::Hang) => hang().await,
                    Some(Page::Slow(time, text)) => {
                        tokio::time::sleep(time).await;
                        text_page(text)
                    }
                    None => answer(404, "no such page"),
                }
            }
        });
        Self {
            server: Server::plain_on(listener, handler),
            pages,
        }
    }

    /// Changes what a path does.
    pub fn set(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }
}
