# Sourced by scripts that run several tiers of tests: `tier NAME COMMAND...` runs one, and a table of
# minutes is printed when the script ends, also when a tier fails.
tiers=()
trap 'print_tiers' EXIT

tier() {
    local name=$1 began=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    tiers+=("$name|unfinished")
    "$@"
    tiers[-1]="$name|$(((SECONDS - began) / 60)):$(printf %02d $(((SECONDS - began) % 60)))"
}

print_tiers() {
    printf '\n== minutes per tier, on %s x %s\n' "$(nproc)" \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)"
    local line
    for line in "${tiers[@]}" "all|$((SECONDS / 60)):$(printf %02d $((SECONDS % 60)))"; do
        printf '%-32s %10s\n' "${line%%|*}" "${line##*|}"
    done
}
