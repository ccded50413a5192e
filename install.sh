#!/usr/bin/env bash
# Adds functions-admin to a self-hosted Supabase: `./install.sh --help` says how. docs/install.md says what it does, step by step.
#
# It writes into Supabase's docker folder only, and only: docker-compose.functions-admin.yml, volumes/functions-admin/, one line of
# .env, and marked lines in the gateway's files. --uninstall takes all of that out again.
set -euo pipefail

ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
OVERRIDE=docker-compose.functions-admin.yml
STATE=volumes/functions-admin
BEGIN='# >>> functions-admin (its install.sh)'
END='# <<< functions-admin'

usage() {
    cat <<'EOT'
usage: ./install.sh /path/to/supabase/docker [OPTION…]

Adds functions-admin to a self-hosted Supabase, or brings an earlier install up to date. Safe to repeat.

options
  --dry-run                  only show what would be done
  --uninstall                take it out again; functions that were deployed stay in volumes/functions
  --purge                    with --uninstall: delete the master key and the project ref too. Access tokens and secrets of
                             functions that the database still holds are worthless without them
  --gateway kong|envoy       which gateway runs, where it cannot be told from the folder
  --strict                   let only the service key and one deploy token through the gateway
  --deploy-token-file FILE   with --strict: the file that holds that token
  --without-import           leave functions that are in volumes/functions already as they are: they answer 404 until they are imported
  --no-start                 only write the files; start and restart nothing
  --yes                      do not ask before changing anything
EOT
}

fail() { printf 'install: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'HINT: %s\n' "$2" >&2; exit 1; }
say() { printf '%s\n' "$1"; }
plan() { printf '  %s\n' "$1"; }

folder='' dry='' without_import='' uninstall='' purge='' gateway='' start=yes yes='' gateway_options=()
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --without-import) without_import=yes ;;
        --no-start) start='' ;;
        --yes|-y) yes=yes ;;
        --strict) gateway_options+=(--strict) ;;
        --gateway) gateway=${2-}; shift ;;
        --deploy-token-file) [ $# -ge 2 ] || fail '--deploy-token-file needs a value'; gateway_options+=(--deploy-token-file "$(realpath -- "$2")"); shift ;;
        -*) fail "there is no option $1" './install.sh --help' ;;
        *) [ -z "$folder" ] || fail 'two folders are given' './install.sh --help'; folder=$1 ;;
    esac
    shift
done
[ -n "$folder" ] || { usage >&2; exit 1; }
case $gateway in ''|kong|envoy) ;; *) fail "--gateway is $gateway" 'it is kong or envoy.' ;; esac
[ -z "$purge" ] || [ -n "$uninstall" ] || fail '--purge is for --uninstall only'
[ -d "$folder" ] || fail "$folder is not there"
folder=$(realpath -e -- "$folder")
cd "$folder"

# ---- What is there

for path in docker-compose.yml .env volumes/functions volumes/api; do
    [ -e "$path" ] || fail "$folder has no $path, so it is not the docker folder of a self-hosted Supabase" 'give the folder that holds docker-compose.yml and .env; copy .env.example to .env first.'
    [ -r "$path" ] || fail "$folder/$path cannot be read" 'run this as the user who owns the folder, or as root.'
done

# The value of a variable in .env, as Compose reads it: without the quotes around it.
env_value() { # NAME
    local line value=
    while IFS= read -r line || [ -n "$line" ]; do
        [[ $line != "$1="* ]] || value=${line#*=}
    done <.env
    case $value in
        \"*\") value=${value#\"}; value=${value%\"} ;;
        \'*\') value=${value#\'}; value=${value%\'} ;;
    esac
    printf '%s' "$value"
}

has_service() { grep -qE "^  $1:[[:space:]]*$" docker-compose.yml; }

has_service functions || fail 'docker-compose.yml has no service functions' 'functions-admin needs the edge runtime of Supabase.'
layers=" $(env_value COMPOSE_FILE | tr ':' ' ') $(env_value CONFIG) "
if [ -z "$gateway" ]; then
    if has_service api-gw; then
        gateway=envoy
        case $layers in *docker-compose.kong.yml*|*' kong '*) gateway=kong ;; esac
    elif has_service kong; then
        gateway=kong
        case $layers in *docker-compose.envoy.yml*|*' envoy '*) gateway=envoy ;; esac
    else
        fail 'docker-compose.yml has neither a service kong nor a service api-gw' 'say which gateway runs: --gateway kong or --gateway envoy.'
    fi
fi
service=api-gw
has_service api-gw || [ "$gateway" = envoy ] || service=kong

KONG_FILE=volumes/api/kong.yml
ENVOY_FILES=(volumes/api/envoy/lds.template.yaml volumes/api/envoy/cds.yaml)
# The gateway that runs must take the routes. The other one's files get them too, so that changing the gateway needs no second install.
if [ "$gateway" = kong ]; then needed=("$KONG_FILE") others=("${ENVOY_FILES[@]}"); else needed=("${ENVOY_FILES[@]}") others=("$KONG_FILE"); fi

docker_works() { [ -n "$start" ] && command -v docker >/dev/null && docker compose version >/dev/null 2>&1; }

ask() {
    [ -z "$yes" ] && [ -t 0 ] || return 0
    local answer
    read -r -p 'Go on? [y/N] ' answer
    case $answer in y|Y|yes) ;; *) say 'Nothing was changed.'; exit 1 ;; esac
}

# Functions in the folder that somebody else put there. Our main service serves what functions-admin knows, and nothing else.
existing_functions() {
    local path slug
    for path in volumes/functions/*/; do
        slug=$(basename "$path")
        case $slug in main|_*|'*') continue ;; esac
        [ -e "volumes/functions/.releases/$slug" ] || printf '%s ' "$slug"
    done
}

# ---- The line of .env that makes Compose read one more file

# Compose takes COMPOSE_FILE; older run.sh of Supabase take CONFIG instead. Prints .env as it is to be.
env_with() {
    if grep -qF "$BEGIN" .env; then
        cat .env
    elif grep -qE '^COMPOSE_FILE=' .env; then
        case $layers in
            *" $OVERRIDE "*) cat .env ;;
            *) sed -E -e "s/^COMPOSE_FILE=([\"']{2})?\$/COMPOSE_FILE=docker-compose.yml:$OVERRIDE/;t" \
                -e "s/^(COMPOSE_FILE=)([\"']?)(.*[^\"'])([\"']?)\$/\\1\\2\\3:$OVERRIDE\\4/" .env ;;
        esac
    elif grep -qE '^CONFIG=' .env; then
        case $layers in
            *' functions-admin '*) cat .env ;;
            *) sed -E "s/^CONFIG=[\"']?([^\"']*)[\"']?\$/CONFIG=\"\\1 functions-admin\"/; s/^CONFIG=\" /CONFIG=\"/" .env ;;
        esac
    else
        local files=docker-compose.yml
        [ ! -f docker-compose.override.yml ] || files=$files:docker-compose.override.yml
        cat .env
        # A line break of our own where the last line has none: it belongs to the block, and goes with it.
        [ -z "$(tail -c 1 .env)" ] || printf '\n'
        printf '%s\nCOMPOSE_FILE=%s:%s\n%s\n' "$BEGIN" "$files" "$OVERRIDE" "$END"
    fi
}

# .env as it was. What install changed is known from the copy of that one line which it kept; the rest of the file may have changed since.
env_without() {
    if grep -qF "$BEGIN" .env; then
        if [ -e "$STATE/env-had-no-newline" ]; then sed "/^$BEGIN\$/,/^$END\$/d" .env | head -c -1; else sed "/^$BEGIN\$/,/^$END\$/d" .env; fi
    elif [ -f "$STATE/env-line" ]; then
        # Where somebody has added other files to the line meanwhile, those stay.
        awk -v saved="$STATE/env-line" -v file=":$OVERRIDE" '
            function plain(text) { gsub(/["'"'"']/, "", text); return text }
            BEGIN { getline before < saved; name = before; sub(/=.*/, "=", name) }
            index($0, name) == 1 && /functions-admin/ {
                at = index($0, file)
                if (at > 0) line = substr($0, 1, at - 1) substr($0, at + length(file))
                else { line = $0; sub(/ ?functions-admin/, "", line) }
                print plain(line) == plain(before) || plain(before) == name ? before : line
                next
            }
            { print }' .env | { if [ -z "$(tail -c 1 .env)" ]; then cat; else head -c -1; fi; }
    else
        cat .env
    fi
}

# ---- Installing

# The items of the command that docker-compose.yml gives the service functions, one a line, with our main service in place of theirs.
runtime_command() {
    local items
    items=$(awk '
        /^  [A-Za-z0-9_-]+:/ { inside = $1 == "functions:" }
        inside && /^    command:/ { command = 1; sub(/^    command:/, "") }
        command { print }
        command && /\]/ { exit }' docker-compose.yml | tr -d '[]\n' | tr ',' '\n' | sed -E "s/^[[:space:]]*[\"']?//; s/[\"']?[[:space:]]*\$//" | grep -v '^$') || true
    if [ "$(head -n 1 <<<"$items")" != start ] || ! grep -qx -- --main-service <<<"$items"; then
        fail 'the command of the service functions in docker-compose.yml is not understood' 'it should be a list such as ["start", "--main-service", "/home/deno/functions/main"], as Supabase ships it'
    fi
    awk '
        before == "--main-service" { print "/home/deno/functions-admin/main"; before = ""; next }
        before == "--event-worker" { before = ""; next }
        { before = $0 }
        $0 != "--event-worker" { print }' <<<"$items"
    if [ -f "$ROOT/runtime/event/index.ts" ]; then printf '%s\n' --event-worker /home/deno/functions-admin/event; fi
}

# Who the program runs as: the owner of volumes/functions, or where that is root, a user of its own.
owner() {
    local id
    id=$(stat -c %u:%g volumes/functions)
    [ "${id%%:*}" -ne 0 ] || id=10001:10001
    printf '%s' "$id"
}

version() { sed -n 's/^AC_INIT(\[functions-admin\], \[\([^]]*\)\].*/\1/p' "$ROOT/configure.ac"; }

# What .env has and the program can use, beyond what it must have: NAME of .env, name of the file and of the option.
OPTIONAL='ANON_KEY anon_key ANON_KEY_FILE
SERVICE_ROLE_KEY service_role_key SERVICE_ROLE_KEY_FILE
SUPABASE_PUBLISHABLE_KEY publishable_key SUPABASE_PUBLISHABLE_KEY_FILE
SUPABASE_SECRET_KEY secret_key SUPABASE_SECRET_KEY_FILE
JWT_JWKS jwks SUPABASE_JWKS_FILE'

override() {
    local id text optional='' name file option command
    id=$(owner)
    while read -r name file option; do
        [ -z "$(env_value "$name")" ] || optional+="      $option: /etc/functions-admin/secrets/$file"$'\n'
    done <<<"$OPTIONAL"
    command=$(runtime_command) || exit 1
    command=$(sed "s/'/''/g; s/.*/      - '&'/" <<<"$command")
    text=$(<"$ROOT/deploy/docker/$OVERRIDE.in")
    text=${text//@VERSION@/"$(version)"}
    text=${text//@SOURCE@/"${ROOT//\'/\'\'}"}
    text=${text//@UID@/"${id%%:*}"}
    text=${text//@GID@/"${id##*:}"}
    text=${text//@PROJECT_REF@/"$project_ref"}
    text=${text//@OPTIONAL_SECRETS@/"${optional%$'\n'}"}
    text=${text//@COMMAND@/"$command"}
    printf '%s\n' "$text"
}

random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
random_letters() { LC_ALL=C tr -dc '[:lower:]' </dev/urandom | head -c "$1" || true; }

put() { # FILE TEXT: a file that only its owner reads; left alone where it says that already
    if changed "$1" "$2"; then (umask 077; printf '%s\n' "$2" >"$1"); fi
}

changed() { # FILE TEXT
    [ ! -f "$1" ] || [ "$(cat -- "$1")" != "$2" ]
}

write_state() {
    local id name file option value
    id=$(owner)
    mkdir -p "$STATE/secrets"
    chmod 700 "$STATE/secrets"
    put "$STATE/project_ref" "$project_ref"
    [ -s "$STATE/secrets/master_key" ] || put "$STATE/secrets/master_key" "$(random_hex 32)"
    [ -s "$STATE/secrets/runtime_token" ] || put "$STATE/secrets/runtime_token" "$(random_hex 24)"
    put "$STATE/secrets/postgres_password" "$(env_value POSTGRES_PASSWORD)"
    put "$STATE/secrets/jwt_secret" "$(env_value JWT_SECRET)"
    while read -r name file option; do
        value=$(env_value "$name")
        if [ -n "$value" ]; then put "$STATE/secrets/$file" "$value"; else rm -f "$STATE/secrets/$file"; fi
    done <<<"$OPTIONAL"
    # What the runtime's container reads; its own copy, so that a checkout may move or change without changing what runs.
    rm -rf "$STATE/runtime.new"
    mkdir -p "$STATE/runtime.new"
    cp -r "$ROOT/runtime/main" "$STATE/runtime.new/"
    [ ! -d "$ROOT/runtime/event" ] || cp -r "$ROOT/runtime/event" "$STATE/runtime.new/"
    chmod -R a+rX "$STATE/runtime.new"
    rm -rf "$STATE/runtime"
    mv "$STATE/runtime.new" "$STATE/runtime"
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$id" "$STATE/secrets"
        if [ "$(stat -c %u volumes/functions)" -eq 0 ]; then
            stat -c %u:%g volumes/functions >"$STATE/functions-owner"
            chown "$id" volumes/functions
            # An import moves these aside, which takes their owner.
            for slug in $existing; do chown "$id" "volumes/functions/$slug"; done
        fi
    fi
}

# The content goes into the file that is there, so that its owner and mode stay.
rewrite_env() { # TEXT-FILE
    cmp -s "$1" .env || cat "$1" >.env
}

routes() { # COMMAND FILE
    [ -f "$2" ] || return 0
    "$ROOT/scripts/gateway" "$1" --file "$2" "${@:3}"
}

if [ -z "$uninstall" ]; then
    [ -n "$(env_value POSTGRES_PASSWORD)" ] || fail '.env has no POSTGRES_PASSWORD'
    [ "$(id -u)" -eq 0 ] || [ "$(stat -c %u volumes/functions)" -eq "$(id -u)" ] || fail 'volumes/functions belongs to another user' 'run this as that user, or as root: the program runs as the owner of that folder and must be able to read its secrets.'
    [ "$(env_value JWT_SECRET | wc -c)" -ge 32 ] || fail '.env has no JWT_SECRET of 32 characters or more'
    if [ -s "$STATE/project_ref" ]; then project_ref=$(<"$STATE/project_ref"); else project_ref=$(random_letters 20); fi
    # Everything that can be refused is refused before anything is written.
    # What each gateway file needs: 0 nothing, 1 the routes, 2 it is not understood.
    declare -A change=()
    for file in "${needed[@]}"; do
        [ -f "$file" ] || fail "the gateway is $gateway, but $file is not there" 'say which gateway runs: --gateway kong or --gateway envoy.'
        if routes diff "$file" "${gateway_options[@]}" >/dev/null; then change[$file]=0; else change[$file]=$?; fi
        [ "${change[$file]}" -le 1 ] || exit 1
    done
    for file in "${others[@]}"; do
        if routes diff "$file" "${gateway_options[@]}" >/dev/null 2>&1; then change[$file]=0; else change[$file]=$?; fi
    done
    text=$(override) || exit 1
    env_new=$(mktemp)
    trap 'rm -f "$env_new"' EXIT
    env_with >"$env_new"

    say "functions-admin $(version) for the Supabase in $folder (gateway: $gateway)"
    say ''
    if changed "$OVERRIDE" "$text"; then plan "write    $OVERRIDE: the service functions-admin, and the runtime's main service"; fi
    if [ -d "$STATE/secrets" ]; then plan "refresh  $STATE/: project $project_ref, secrets from .env, the main service"; else plan "write    $STATE/: project $project_ref, a master key, secrets from .env (each in a file for its owner only), the main service"; fi
    [ "$(stat -c %u volumes/functions)" -ne 0 ] || plan "chown    volumes/functions to $(owner): it belongs to root, and the program does not run as root"
    cmp -s "$env_new" .env || plan ".env     $(diff .env "$env_new" | sed -n 's/^> \(COMPOSE_FILE\|CONFIG\)=/set \1=/p')"
    for file in "${needed[@]}" "${others[@]}"; do
        case ${change[$file]} in
            0) ;;
            1) plan "routes   $file: add functions-admin's (a copy is kept beside it)" ;;
            *) plan "skip     $file: not understood, and the gateway that runs is $gateway" ;;
        esac
    done
    existing=$(existing_functions)
    if [ -n "$existing" ] && [ -n "$without_import" ]; then plan "404      until they are imported: ${existing% }"
    elif [ -n "$existing" ]; then plan "import   each as its own version 1, once the service runs; until then they answer 404: ${existing% }"; fi
    if docker_works; then
        plan "run      docker compose up -d --build --wait functions-admin functions; this also runs the migrations"
        plan "run      docker compose restart $service"
    fi
    say ''
    if [ -n "$dry" ]; then
        say "--- $OVERRIDE"
        printf '%s\n' "$text"
        for file in "${needed[@]}"; do routes diff "$file" "${gateway_options[@]}" || true; done
        say ''
        say 'Nothing was changed (--dry-run).'
        exit 0
    fi
    ask

    # .env first remembers how its line was: after this, an install that broke off can be taken out.
    mkdir -p "$STATE"
    if ! cmp -s "$env_new" .env; then
        if grep -qE '^COMPOSE_FILE=' .env; then grep -E '^COMPOSE_FILE=' .env | tail -n 1 >"$STATE/env-line"
        elif grep -qE '^CONFIG=' .env; then grep -E '^CONFIG=' .env | tail -n 1 >"$STATE/env-line"
        elif [ -n "$(tail -c 1 .env)" ]; then : >"$STATE/env-had-no-newline"; fi
    fi
    write_state
    if changed "$OVERRIDE" "$text"; then printf '%s\n' "$text" >"$OVERRIDE"; fi
    for file in "${needed[@]}" "${others[@]}"; do
        if [ "${change[$file]}" -eq 1 ]; then routes install "$file" "${gateway_options[@]}" --quiet; fi
    done
    rewrite_env "$env_new"
    say 'The files are in place.'

    steps=("docker compose up -d --build --wait functions-admin functions" "docker compose restart $service")
    # As they are called today: Supabase's own main service asks for a JWT of all functions, or of none.
    import='docker compose exec -T functions-admin functions-admin import --no-verify-jwt'
    [ "$(env_value FUNCTIONS_VERIFY_JWT)" != true ] || import=${import% --no-verify-jwt}
    if docker_works; then
        for step in "${steps[@]}"; do
            say "$step"
            read -ra words <<<"$step"
            "${words[@]}" || fail "this failed: $step" 'mend what the lines above say and run install.sh again; it is safe to repeat.'
        done
        steps=()
        if [ -n "$existing" ] && [ -z "$without_import" ]; then
            say "$import"
            read -ra words <<<"$import"
            # What it cannot take it names, and leaves as it is.
            "${words[@]}" || steps=("mend what was refused above, then: $import")
        fi
    elif [ -n "$existing" ] && [ -z "$without_import" ]; then
        steps+=("$import")
    fi
    say ''
    say "What to do next, in $folder:"
    for step in "${steps[@]}"; do plan "$step"; done
    [ -z "$existing" ] || [ -z "$without_import" ] || plan "$import          # takes over: ${existing% }"
    plan 'docker compose exec functions-admin functions-admin doctor          # is all well?'
    plan 'docker compose exec functions-admin functions-admin token create    # an access token for the CLI, CI and agents'
    plan "the API is $(env_value SUPABASE_PUBLIC_URL)/functions-admin, the project's ref is $project_ref"
    exit 0
fi

# ---- Uninstalling

env_new=$(mktemp)
trap 'rm -f "$env_new"' EXIT
env_without >"$env_new"
say "Taking functions-admin out of the Supabase in $folder"
say ''
for file in "$KONG_FILE" "${ENVOY_FILES[@]}"; do
    [ ! -f "$file" ] || ! grep -qF '>>> functions-admin' "$file" || plan "routes   $file: take functions-admin's out"
done
cmp -s "$env_new" .env || plan ".env     as it was"
[ ! -f "$OVERRIDE" ] || plan "delete   $OVERRIDE"
if [ -n "$purge" ]; then plan "delete   $STATE/, with the master key"; else plan "delete   $STATE/, but for the master key and the project ref (--purge deletes them too)"; fi
[ ! -f "$STATE/functions-owner" ] || plan "chown    volumes/functions back to $(<"$STATE/functions-owner")"
if docker_works && [ -f "$OVERRIDE" ]; then plan "run      docker compose rm --stop --force functions-admin, up -d functions, restart $service"; fi
plan 'keep     volumes/functions: functions that were deployed go on under Supabase'"'"'s own main service'
plan 'keep     the schema functions_admin of the database (to delete it: drop schema functions_admin cascade)'
say ''
if [ -n "$dry" ]; then say 'Nothing was changed (--dry-run).'; exit 0; fi
ask

if docker_works && [ -f "$OVERRIDE" ]; then docker compose rm --stop --force functions-admin || true; fi
for file in "$KONG_FILE" "${ENVOY_FILES[@]}"; do
    if grep -qsF '>>> functions-admin' "$file"; then routes remove "$file" --quiet; fi
done
rewrite_env "$env_new"
rm -f "$OVERRIDE"
if [ -f "$STATE/functions-owner" ] && [ "$(id -u)" -eq 0 ]; then chown "$(<"$STATE/functions-owner")" volumes/functions; fi
if [ -n "$purge" ]; then
    rm -rf "$STATE"
elif [ -d "$STATE" ]; then
    find "$STATE" -mindepth 1 ! -path "$STATE/project_ref" ! -path "$STATE/secrets" ! -path "$STATE/secrets/master_key" -delete
fi
if docker_works; then docker compose up -d functions && docker compose restart "$service"; fi
say 'functions-admin is out.'
if ! docker_works; then
    say "What to do next, in $folder:"
    plan 'docker compose up -d --remove-orphans'
    plan "docker compose restart $service"
fi
