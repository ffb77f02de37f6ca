//! Objects in a bucket: `<prefix>objects/<id>` for what is kept, `<prefix>store.id` for the tie.

use base::client::{Body, chain};
use bucket::Call;
use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::ObjectError;

const TIE_KEY: &str = "store.id";
const NO_BODY: Bytes = Bytes::new();

/// The bucket; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Bucket(bucket::Bucket);

impl Bucket {
    pub(crate) fn new(bucket: bucket::Bucket) -> Self {
        Self(bucket)
    }

    pub(super) fn place(&self) -> String {
        self.0.place("")
    }

    /// The key of an object.
    pub(super) fn key(&self, id: &str) -> String {
        self.0.key(&format!("objects/{id}"))
    }

    /// What the keys of all objects begin with.
    pub(super) fn prefix(&self) -> String {
        self.key("")
    }

    pub(super) async fn tie(&self) -> Result<Option<String>, ObjectError> {
        let call = Call {
            method: &Method::GET,
            key: &self.0.key(TIE_KEY),
            query: "",
            range: None,
            what: "store.id can't be read from the bucket",
        };
        let response = self.send(call, NO_BODY).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let bytes = self.document(call, response).await?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.trim().to_owned()))
    }

    pub(super) async fn set_tie(&self, tie: &str) -> Result<(), ObjectError> {
        let call = Call {
            method: &Method::PUT,
            key: &self.0.key(TIE_KEY),
            query: "",
            range: None,
            what: "store.id can't be written into the bucket",
        };
        let body = Bytes::copy_from_slice(tie.as_bytes());
        let response = self.send(call, body).await?;
        self.document(call, response).await.map(drop)
    }

    pub(super) async fn remove(&self, ids: Vec<String>) {
        for id in ids {
            if let Err(error) = self.0.delete(&self.key(&id)).await {
                tracing::warn!(error = chain(&error), id, "it is an orphan now");
            }
        }
    }

    /// Sends a request until there is an answer that is not about the store's own state.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        body: Bytes,
    ) -> Result<Response<Body>, ObjectError> {
        Ok(self.0.send(call, body).await?)
    }

    /// The whole body of an answer that has to be a success.
    pub(super) async fn document(
        &self,
        call: Call<'_>,
        response: Response<Body>,
    ) -> Result<Bytes, ObjectError> {
        Ok(self.0.document(call, response).await?)
    }

    /// The store that has it, for uploads in parts.
    pub(super) fn inner(&self) -> &bucket::Bucket {
        &self.0
    }
}
