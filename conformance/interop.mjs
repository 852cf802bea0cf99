// A foreign client: lists the tools of one server and calls one, with the official TypeScript SDK.
//
//   node interop.mjs v2 '{"url": "http://127.0.0.1:8000/mcp"}' '{"name": "crm_search", "arguments": {}}'
//   node interop.mjs v1 '{"command": "aicore-crm", "args": []}' 'null'
//
// Prints one line of JSON: {protocol, tools, called, isError, text}. v1 speaks 2025-11-25, v2 asks
// for the newest revision that the server has.
const [, , sdk, targetText, callText] = process.argv;
const target = JSON.parse(targetText);
const call = JSON.parse(callText);

async function pieces() {
  if (sdk === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
    const { StreamableHTTPClientTransport } = await import(
      '@modelcontextprotocol/sdk/client/streamableHttp.js'
    );
    return { Client, StdioClientTransport, StreamableHTTPClientTransport, options: {} };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
  const options = { versionNegotiation: { mode: 'auto' } };
  return { Client, StdioClientTransport, StreamableHTTPClientTransport, options };
}

const { Client, StdioClientTransport, StreamableHTTPClientTransport, options } = await pieces();
const client = new Client({ name: 'interop', version: '1' }, options);
const transport = target.url
  ? new StreamableHTTPClientTransport(new URL(target.url))
  : new StdioClientTransport({ ...target, stderr: 'ignore' });
await client.connect(transport);
const { tools } = await client.listTools();
const result = call ? await client.callTool(call) : { isError: false, content: [] };
const protocol =
  client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? transport._protocolVersion;
console.log(
  JSON.stringify({
    protocol: protocol ?? null,
    tools: tools.map((tool) => tool.name),
    called: call?.name ?? null,
    isError: result.isError ?? false,
    text: result.content.map((part) => part.text ?? '').join('').slice(0, 300),
  }),
);
await client.close();
process.exit(0);
