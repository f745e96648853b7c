/** The server with the protocol library that the editor's client is made of. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const protocol = require('vscode-languageserver-protocol/node') as typeof import('vscode-languageserver-protocol/node');

const repository = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', '..');
const built = join(repository, 'target', 'release', process.platform === 'win32' ? 'mlpc.exe' : 'mlpc');
const mlpc = process.env['MLPC'] ?? (existsSync(built) ? built : 'mlpc');

test('a real client opens, completes, renames and formats', async () => {
  const server = spawn(mlpc, ['lsp'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const connection = protocol.createProtocolConnection(new protocol.StreamMessageReader(server.stdout), new protocol.StreamMessageWriter(server.stdin));
  const uri = 'file:///project/main.mlp';
  const text = 'edition 2026\n\nuse std.tensor.{ softmax }\n\npipeline P(x: f32[3]) -> f32[3] {\n  y = x |> softmax\n  return   y\n}\n';
  const diagnostics = new Promise<unknown[]>((resolve) =>
    connection.onNotification(protocol.PublishDiagnosticsNotification.type, (params) => resolve(params.diagnostics)),
  );
  connection.listen();
  const { capabilities } = await connection.sendRequest(protocol.InitializeRequest.type, { processId: process.pid, rootUri: null, capabilities: {} });
  assert.ok(capabilities.completionProvider && capabilities.renameProvider && capabilities.inlayHintProvider);
  await connection.sendNotification(protocol.InitializedNotification.type, {});
  await connection.sendNotification(protocol.DidOpenTextDocumentNotification.type, { textDocument: { uri, languageId: 'mlp', version: 1, text } });
  assert.deepEqual(await diagnostics, []);

  const textDocument = { uri };
  const position = { line: 5, character: 3 };
  const completions = await connection.sendRequest(protocol.CompletionRequest.type, { textDocument, position: { line: 5, character: 11 } });
  assert.ok(Array.isArray(completions) && completions.some((item) => item.label === 'softmax'));
  const renamed = await connection.sendRequest(protocol.RenameRequest.type, { textDocument, position, newName: 'z' });
  assert.equal(renamed?.changes?.[uri]?.length, 2);
  const options = { tabSize: 2, insertSpaces: true };
  const edits = await connection.sendRequest(protocol.DocumentFormattingRequest.type, { textDocument, options });
  assert.equal(edits?.[0]?.newText, text.replace('return   y', 'return y'));
  await connection.sendRequest(protocol.ShutdownRequest.type);
  await connection.sendNotification(protocol.ExitNotification.type);
  const code = await new Promise((resolve) => server.once('exit', resolve));
  assert.equal(code, 0);
  connection.dispose();
});
