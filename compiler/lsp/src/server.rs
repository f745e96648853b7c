//! The protocol: requests to questions of the session, diagnostics after every change.

use crate::navigation::STD_SCHEME;
use crate::semantic;
use crate::session::{Published, Session};
use ls_types::{
    CodeActionKind, CodeActionOptions, CodeActionParams, CodeActionProviderCapability, CodeActionResponse, CompletionOptions,
    CompletionParams, CompletionResponse, DidChangeTextDocumentParams, DidChangeWatchedFilesParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, DidSaveTextDocumentParams, DocumentFormattingParams, DocumentHighlight, DocumentHighlightParams,
    DocumentSymbolParams, DocumentSymbolResponse, GotoDefinitionParams, GotoDefinitionResponse, Hover, HoverParams,
    HoverProviderCapability, InitializeParams, InitializeResult, InlayHint, InlayHintParams, Location, OneOf, PrepareRenameResponse,
    ReferenceParams, RenameOptions, RenameParams, SemanticTokensFullOptions, SemanticTokensOptions, SemanticTokensParams,
    SemanticTokensResult, ServerCapabilities, ServerInfo, SignatureHelp, SignatureHelpOptions, SignatureHelpParams,
    TextDocumentPositionParams, TextDocumentSyncCapability, TextDocumentSyncKind, TextEdit, Uri, WorkspaceEdit,
};
use mlp_analysis::STD_MODULES;
use mlp_driver::host::Disk;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_lsp_server::jsonrpc::{Error, Result};
use tower_lsp_server::{Client, LanguageServer, LspService, Server};

struct Service {
    client: Client,
    session: Arc<Mutex<Session>>,
    costing: Arc<Mutex<Waiting>>,
    /// The client asks for hints again when it is told to.
    refreshes: AtomicBool,
}

/// The documents whose costs are looked for, one after another.
#[derive(Default)]
struct Waiting {
    documents: VecDeque<Uri>,
    busy: bool,
}

/// Serves one client until it says `exit` or goes away.
pub async fn serve(input: impl AsyncRead + Unpin, output: impl AsyncWrite) {
    let make = |client| Service {
        client,
        session: Arc::new(Mutex::new(Session::new(Box::new(Disk::default())))),
        costing: Arc::default(),
        refreshes: AtomicBool::new(false),
    };
    let (service, socket) = LspService::build(make).custom_method("mlp/library", Service::library).finish();
    // One message at a time, so that edits are made in their order.
    Server::new(input, output, socket).concurrency_level(1).serve(service).await;
}

/// Serves the client at the standard streams.
pub fn serve_stdio() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(serve(tokio::io::stdin(), tokio::io::stdout()));
    // A read of the standard input that still waits would keep the process alive.
    runtime.shutdown_background();
    Ok(())
}

impl Service {
    fn session(&self) -> MutexGuard<'_, Session> {
        locked(&self.session)
    }

    /// Finds out what the package of a document costs, beside everything else, and has the client ask for hints again.
    fn cost(&self, uri: Uri) {
        let mut waiting = locked(&self.costing);
        waiting.documents.retain(|known| *known != uri);
        waiting.documents.push_back(uri);
        if std::mem::replace(&mut waiting.busy, true) {
            return;
        }
        let (client, session, costing) = (self.client.clone(), Arc::clone(&self.session), Arc::clone(&self.costing));
        let refreshes = self.refreshes.load(Ordering::Relaxed);
        tokio::spawn(async move {
            while let Some(uri) = next(&costing) {
                let Some(work) = locked(&session).costing(&uri) else { continue };
                // What panics there costs its hints.
                let Ok(Some(costs)) = tokio::task::spawn_blocking(move || work.run(&Disk::default())).await else { continue };
                let news = locked(&session).costed(&uri, costs);
                if news && refreshes {
                    // A client that does not answer is not waited for.
                    let client = client.clone();
                    tokio::spawn(async move { client.inlay_hint_refresh().await });
                }
            }
        });
    }

    async fn publish(&self, published: Vec<Published>) {
        for Published { uri, version, diagnostics } in published {
            self.client.publish_diagnostics(uri, diagnostics, version).await;
        }
    }

    /// Publishes, and finds out what the packages of the open documents among these cost.
    async fn publish_and_cost(&self, published: Vec<Published>) {
        let open: Vec<Uri> = published.iter().filter(|one| one.version.is_some()).map(|one| one.uri.clone()).collect();
        self.publish(published).await;
        open.into_iter().for_each(|uri| self.cost(uri));
    }

    /// The text of a document of the standard library.
    async fn library(&self, params: Library) -> Result<String> {
        let path = params.uri.as_str().strip_prefix(STD_SCHEME).unwrap_or("").trim_start_matches([':', '/']);
        let module = path.strip_suffix(".mlp").and_then(|name| STD_MODULES.iter().find(|module| module.name == name));
        module.map(|module| module.source.to_owned()).ok_or_else(|| Error::invalid_params("there is no such module"))
    }
}

/// A question changes nothing, and an edit replaces a document as a whole, so what a panic left is sound.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next document whose costs are looked for; where there is none, nobody looks any more.
fn next(costing: &Mutex<Waiting>) -> Option<Uri> {
    let mut waiting = locked(costing);
    let next = waiting.documents.pop_front();
    waiting.busy = next.is_some();
    next
}

/// What `mlp/library` asks.
#[derive(serde::Deserialize)]
struct Library {
    uri: Uri,
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::INCREMENTAL)),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([".", "@", ">", " ", "<", "(", "[", "\"", "/"].map(str::to_owned).to_vec()),
            ..CompletionOptions::default()
        }),
        signature_help_provider: Some(SignatureHelpOptions {
            trigger_characters: Some(["(", ","].map(str::to_owned).to_vec()),
            ..SignatureHelpOptions::default()
        }),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        document_highlight_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        document_formatting_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Right(RenameOptions { prepare_provider: Some(true), work_done_progress_options: Default::default() })),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]),
            ..CodeActionOptions::default()
        })),
        inlay_hint_provider: Some(OneOf::Left(true)),
        semantic_tokens_provider: Some(
            SemanticTokensOptions { legend: semantic::legend(), full: Some(SemanticTokensFullOptions::Bool(true)), ..Default::default() }
                .into(),
        ),
        ..ServerCapabilities::default()
    }
}

impl LanguageServer for Service {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        let hints = params.capabilities.workspace.and_then(|workspace| workspace.inlay_hint);
        let refreshes = hints.and_then(|hints| hints.refresh_support).unwrap_or(false);
        self.refreshes.store(refreshes, Ordering::Relaxed);
        let server_info = Some(ServerInfo { name: "mlpc".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) });
        Ok(InitializeResult { capabilities: capabilities(), server_info, ..InitializeResult::default() })
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        let document = params.text_document;
        let published = self.session().open(document.uri, document.version, document.text);
        self.publish_and_cost(published).await;
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        let document = params.text_document;
        let published = self.session().change(&document.uri, document.version, params.content_changes);
        self.publish(published).await;
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        let published = self.session().saved(&params.text_document.uri);
        self.publish_and_cost(published).await;
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        let published = self.session().close(&params.text_document.uri);
        self.publish(published).await;
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        for change in params.changes {
            let published = self.session().saved(&change.uri);
            self.publish_and_cost(published).await;
        }
    }

    async fn hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position_params;
        Ok(self.session().hover(&text_document.uri, position))
    }

    async fn completion(&self, params: CompletionParams) -> Result<Option<CompletionResponse>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position;
        Ok(self.session().completion(&text_document.uri, position).map(CompletionResponse::Array))
    }

    async fn signature_help(&self, params: SignatureHelpParams) -> Result<Option<SignatureHelp>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position_params;
        Ok(self.session().signature(&text_document.uri, position))
    }

    async fn goto_definition(&self, params: GotoDefinitionParams) -> Result<Option<GotoDefinitionResponse>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position_params;
        Ok(self.session().definition(&text_document.uri, position).map(GotoDefinitionResponse::Scalar))
    }

    async fn references(&self, params: ReferenceParams) -> Result<Option<Vec<Location>>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position;
        Ok(self.session().references(&text_document.uri, position, params.context.include_declaration))
    }

    async fn document_highlight(&self, params: DocumentHighlightParams) -> Result<Option<Vec<DocumentHighlight>>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position_params;
        Ok(self.session().highlights(&text_document.uri, position))
    }

    async fn document_symbol(&self, params: DocumentSymbolParams) -> Result<Option<DocumentSymbolResponse>> {
        Ok(self.session().symbols(&params.text_document.uri).map(DocumentSymbolResponse::Nested))
    }

    async fn prepare_rename(&self, params: TextDocumentPositionParams) -> Result<Option<PrepareRenameResponse>> {
        self.session().prepare_rename(&params.text_document.uri, params.position).map(Some).map_err(Error::invalid_params)
    }

    async fn rename(&self, params: RenameParams) -> Result<Option<WorkspaceEdit>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position;
        self.session().rename(&text_document.uri, position, &params.new_name).map(Some).map_err(Error::invalid_params)
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        Ok(self.session().actions(&params.text_document.uri, params.range))
    }

    async fn inlay_hint(&self, params: InlayHintParams) -> Result<Option<Vec<InlayHint>>> {
        Ok(self.session().hints(&params.text_document.uri, params.range))
    }

    async fn semantic_tokens_full(&self, params: SemanticTokensParams) -> Result<Option<SemanticTokensResult>> {
        Ok(self.session().semantic_tokens(&params.text_document.uri).map(SemanticTokensResult::Tokens))
    }

    async fn formatting(&self, params: DocumentFormattingParams) -> Result<Option<Vec<TextEdit>>> {
        Ok(self.session().formatting(&params.text_document.uri))
    }
}
