#compdef qcfeed

_qcfeed_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _QCFEED_COMPLETE=complete_zsh qcfeed)
}

compdef _qcfeed_completion qcfeed
