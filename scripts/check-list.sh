# Sourced by .ci/run and scripts/full-check: runs named checks one after another, times them and ends
# with one line for each and the count. A failed check does not keep the later ones from running.
passed=0
failed=0
results=()

check() {  # NAME COMMAND...
  local name=$1 start=$SECONDS verdict
  shift
  printf '\n=== %s\n' "$name"
  if "$@"; then
    verdict=passed
    passed=$((passed + 1))
  else
    verdict=FAILED
    failed=$((failed + 1))
  fi
  results+=("$(printf '%-36s %s  %4d s' "$name" "$verdict" $((SECONDS - start)))")
}

finish_checks() {
  printf '\n=== checks\n'
  printf '%s\n' "${results[@]}"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  ((failed == 0))
}
