/**
 * Starts the language server, which is the compiler, for `.mlp` files, and shows the standard library's sources, which the compiler carries.
 */
import { commands, window, workspace, type ExtensionContext, type TextDocumentContentProvider } from 'vscode';
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from 'vscode-languageclient/node';

/** The scheme of the standard library's documents. */
const LIBRARY = 'mlp-std';

let client: LanguageClient | undefined;

export async function activate(context: ExtensionContext): Promise<void> {
  const library: TextDocumentContentProvider = {
    provideTextDocumentContent: (uri) => client?.sendRequest<string>('mlp/library', { uri: uri.toString() }),
  };
  context.subscriptions.push(
    workspace.registerTextDocumentContentProvider(LIBRARY, library),
    commands.registerCommand('mlp.restart', restart),
    workspace.onDidChangeConfiguration((change) => (change.affectsConfiguration('mlp.compiler') ? restart() : undefined)),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  await client?.stop();
  client = undefined;
}

async function restart(): Promise<void> {
  await client?.stop();
  await start();
}

async function start(): Promise<void> {
  const command = workspace.getConfiguration('mlp').get<string>('compiler') || 'mlpc';
  const server: ServerOptions = { command, args: ['lsp'] };
  const options: LanguageClientOptions = {
    documentSelector: [
      { scheme: 'file', language: 'mlp' },
      { scheme: 'untitled', language: 'mlp' },
    ],
    // A model or a file of labels that changes changes what is right.
    synchronize: { fileEvents: workspace.createFileSystemWatcher('**/*.{mlp,onnx,safetensors,txt}') },
  };
  client = new LanguageClient('mlp', 'mlp', server, options);
  try {
    await client.start();
  } catch (error) {
    const answer = await window.showErrorMessage(`The compiler ${command} did not start: ${String(error)}. Say where it is with the setting mlp.compiler.`, 'Open the setting');
    if (answer) await commands.executeCommand('workbench.action.openSettings', 'mlp.compiler');
  }
}
