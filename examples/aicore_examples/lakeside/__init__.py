"""Lakeside Dental: the demo business's assistant, as a flow file and a file of facts."""
