# shellcheck shell=bash
# Random secrets and Supabase's two HS256 keys. Sourced by quickstart. No secret is ever an argument of a program, because
# arguments can be read by everybody on the machine: bash's own printf and pipes carry them.

random_hex() { # BYTES
    openssl rand -hex "$1"
}

random_letters() { # COUNT: lower-case letters only
    local text=
    while [ "${#text}" -lt "$1" ]; do
        text+=$(openssl rand -base64 96 | LC_ALL=C tr -dc '[:lower:]')
    done
    printf '%s' "${text:0:$1}"
}

base64url() {
    openssl base64 -A | tr '+/' '-_' | tr -d '='
}

# HMAC-SHA256 (RFC 2104) of standard input, as raw bytes. openssl takes an HMAC key only as an argument, hence by hand: the key,
# of at most 64 ASCII characters here, filled up with zeroes and combined with the two pads.
hmac_sha256() { # KEY
    local key=$1 inner='' outer='' i byte
    for ((i = 0; i < 64; i++)); do
        byte=0
        [ "$i" -ge "${#key}" ] || printf -v byte '%d' "'${key:i:1}"
        printf -v inner '%s\\x%02x' "$inner" $((byte ^ 0x36))
        printf -v outer '%s\\x%02x' "$outer" $((byte ^ 0x5c))
    done
    # shellcheck disable=SC2059 # the pads are formats: a NUL byte can stand in no other string of bash
    { printf "$outer"; { printf "$inner"; cat; } | openssl dgst -sha256 -binary; } | openssl dgst -sha256 -binary
}

# A key as Supabase makes them: HS256, good for ten years.
supabase_jwt() { # ROLE SECRET
    local now unsigned
    now=$(date +%s)
    unsigned=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(printf '{"role":"%s","iss":"supabase","iat":%d,"exp":%d}' "$1" "$now" $((now + 315360000)) | base64url)
    printf '%s.%s' "$unsigned" "$(printf '%s' "$unsigned" | hmac_sha256 "$2" | base64url)"
}
