"""The subcommands of `qstar`, a file a subject. Heavy libraries are imported inside, so that help is quick."""
