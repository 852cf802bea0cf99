"""An async agent core over MCP: prompts, dispatch, durable turns. Knows no business."""
