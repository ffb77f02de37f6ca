//! nginx with WebDAV's PUT into a folder: it writes what comes into a file beside and renames it. It hashes
//! nothing and waits for no disk.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bench::nginx::{Nginx, user_line};

/// The running nginx and its folder.
pub(super) struct Dav {
    pub(super) nginx: Nginx,
    pub(super) folder: PathBuf,
    _directory: tempfile::TempDir,
}

impl Dav {
    /// Starts `program` with a folder of its own, where ours is as well.
    pub(super) fn start(program: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("files");
        std::fs::create_dir(&folder).unwrap();
        let coming = directory.path().join("coming");
        let nginx = Nginx::run(program, |listen| configuration(listen, &folder, &coming));
        Self {
            nginx,
            folder,
            _directory: directory,
        }
    }
}

/// As it is set up for large files: a worker for each core, and what comes is on the same file system as
/// where it stays.
fn configuration(listen: SocketAddr, folder: &std::path::Path, coming: &std::path::Path) -> String {
    let (user, folder, coming) = (user_line(), folder.display(), coming.display());
    format!(
        "daemon off; {user} worker_processes auto; pid nginx.pid;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path {coming}; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
           uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
           client_max_body_size 0; client_body_buffer_size 256k;\n\
           server {{\n\
             listen {listen};\n\
             root {folder};\n\
             location / {{ dav_methods PUT; create_full_put_path on; }}\n\
           }}\n\
         }}\n"
    )
}
