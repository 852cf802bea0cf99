"""The systems that models are served by: a profile each, as data in the files beside this one."""
