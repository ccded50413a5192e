// Supabase's docker folder as its versions lay it out, made anew for a test: only what functions-admin looks at or changes, with the
// names, the nesting, the comments and the oddities (blanks at line ends, quotes of both kinds) of the real one.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const ENV = `############
# Secrets: change these before you start
############
POSTGRES_PASSWORD=postgres-password-of-the-test
JWT_SECRET=jwt-secret-of-the-test-with-32-characters-or-more
ANON_KEY=anon.key.of-the-test
SERVICE_ROLE_KEY=service.role.key-of-the-test
DASHBOARD_USERNAME=supabase
DASHBOARD_PASSWORD=dashboard-password-of-the-test

# Database
POSTGRES_HOST=db
POSTGRES_DB=postgres
POSTGRES_PORT=5432

KONG_HTTP_PORT=8000
KONG_HTTPS_PORT=8443
SUPABASE_PUBLIC_URL=http://localhost:8000
FUNCTIONS_VERIFY_JWT=false
`;

const functionsService = (url, jwks) => `  functions:
    container_name: supabase-edge-functions
    image: supabase/edge-runtime:v1.70.0
    restart: unless-stopped
    volumes:
      - ./volumes/functions:/home/deno/functions:Z
    environment:
      JWT_SECRET: \${JWT_SECRET}
${jwks}      SUPABASE_URL: ${url}
      SUPABASE_ANON_KEY: \${ANON_KEY}
      SUPABASE_SERVICE_ROLE_KEY: \${SERVICE_ROLE_KEY}
      SUPABASE_DB_URL: postgresql://postgres:\${POSTGRES_PASSWORD}@\${POSTGRES_HOST}:\${POSTGRES_PORT}/\${POSTGRES_DB}
      VERIFY_JWT: "\${FUNCTIONS_VERIFY_JWT}"
    command:
      [
        "start",
        "--main-service",
        "/home/deno/functions/main"
      ]

  # Comment out what follows where the database is elsewhere
  db:
    container_name: supabase-db
    image: supabase/postgres:15.8.1.085
    environment:
      POSTGRES_PASSWORD: \${POSTGRES_PASSWORD}
`;

const OLD_COMPOSE = `# Start: docker compose up -d
name: supabase

services:

  kong:
    container_name: supabase-kong
    image: kong:2.8.1
    ports:
      - \${KONG_HTTP_PORT}:8000/tcp
    volumes:
      - ./volumes/api/kong.yml:/home/kong/temp.yml:ro,z
    environment:
      KONG_DATABASE: "off"
      KONG_DECLARATIVE_CONFIG: /home/kong/kong.yml
      KONG_PLUGINS: request-transformer,cors,key-auth,acl,basic-auth
      SUPABASE_ANON_KEY: \${ANON_KEY}
      SUPABASE_SERVICE_KEY: \${SERVICE_ROLE_KEY}
    entrypoint: bash -c 'eval "echo \\"$$(cat ~/temp.yml)\\"" > ~/kong.yml && /docker-entrypoint.sh kong docker-start'

${functionsService('http://kong:8000', '')}`;

const NEW_COMPOSE = `# Start: docker compose up -d
name: supabase

services:

  # Envoy is the default gateway
  api-gw:
    container_name: supabase-envoy
    image: envoyproxy/envoy:v1.39.1
    networks:
      default:
        aliases:
          - envoy
          - kong
    ports:
      - \${API_GW_HTTP_PORT:-\${KONG_HTTP_PORT:-8000}}:8000/tcp
    volumes:
      - ./volumes/api/envoy/envoy.yaml:/etc/envoy/envoy.yaml:ro
      - ./volumes/api/envoy/cds.yaml:/etc/envoy/cds.yaml:ro
      - ./volumes/api/envoy/lds.template.yaml:/etc/envoy/lds.template.yaml:ro
    environment:
      ANON_KEY: \${ANON_KEY}
      SERVICE_ROLE_KEY: \${SERVICE_ROLE_KEY}

${functionsService('http://api-gw:8000', "      #SUPABASE_JWKS: ${JWT_JWKS:-{\"keys\":[]}}\n")}
volumes:
  db-config:
  deno-cache:
`;

const KONG_OVERRIDE = `# Kong in place of Envoy
services:
  api-gw:
    container_name: supabase-kong
    image: kong/kong:3.9.3
    volumes: !override
      - ./volumes/api/kong.yml:/home/kong/temp.yml:ro,z
      - ./volumes/api/kong-entrypoint.sh:/home/kong/kong-entrypoint.sh:ro,z
    environment: !override
      KONG_ROUTER_FLAVOR: expressions
      KONG_PLUGINS: request-transformer,cors,key-auth,acl,basic-auth,request-termination,ip-restriction,post-function
      SUPABASE_SERVICE_KEY: \${SERVICE_ROLE_KEY}
`;

const kong = (newer) => `_format_version: '2.1'
_transform: true

###
### Consumers / Users
###
consumers:
  - username: DASHBOARD
  - username: anon
    keyauth_credentials:
      - key: $SUPABASE_ANON_KEY
${newer ? '      - key: $SUPABASE_PUBLISHABLE_KEY\n' : ''}  - username: service_role
    keyauth_credentials:
      - key: $SUPABASE_SERVICE_KEY
${newer ? '      - key: $SUPABASE_SECRET_KEY\n' : ''}
###
### Access Control List
###
acls:
  - consumer: anon
    group: anon
  - consumer: service_role
    group: admin

basicauth_credentials:
  - consumer: DASHBOARD
    username: $DASHBOARD_USERNAME
    password: $DASHBOARD_PASSWORD

###
### API Routes
###
services:
  ## Open Auth routes
  - name: auth-v1-open
    url: http://auth:9999/verify
    routes:
      - name: auth-v1-open
        strip_path: true
        paths:
          - /auth/v1/verify
    plugins:
      - name: cors

  ## Edge Functions routes
  - name: functions-v1
    _comment: 'Edge Functions: /functions/v1/* -> http://functions:9000/*'
    url: http://functions:9000/
${newer ? '    read_timeout: 150000\n' : ''}    routes:
      - name: functions-v1-all
        strip_path: true
        paths:
          - /functions/v1/
    plugins:
      - name: cors

  ## Protected Dashboard - all that remains
  - name: dashboard
    url: http://studio:3000/
    routes:
      - name: dashboard-all
        strip_path: true
        paths:
          - /
    plugins:
      - name: cors
      - name: basic-auth
        config:
          hide_credentials: true
`;

const LDS = `resources:
  - '@type': type.googleapis.com/envoy.config.listener.v3.Listener
    name: supabase
    per_connection_buffer_limit_bytes: 32768  # 32 KiB
    
    address:
      socket_address:
        address: 0.0.0.0
        port_value: 8000
        
    filter_chains:
      - filters:
          - name: envoy.filters.network.http_connection_manager
            typed_config:
              '@type': >-
                type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              stat_prefix: ingress_http
              normalize_path: true
              merge_slashes: true
              path_with_escaped_slashes_action: REJECT_REQUEST
              use_remote_address: true
              route_config:
                name: supabase_route
                virtual_hosts:
                  - name: supabase_host
                    domains:
                      - '*'
                    routes:
                      - name: functions-v1-all
                        match:
                          prefix: /functions/v1/
                        route:
                          cluster: functions
                          prefix_rewrite: /
                          timeout: 150s
                        typed_per_filter_config:
                          envoy.filters.http.basic_auth:
                            '@type': >-
                              type.googleapis.com/envoy.config.route.v3.FilterConfig
                            disabled: true
                          envoy.filters.http.rbac:
                            '@type': >-
                              type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute
                            rbac:
                              rules:
                                action: ALLOW
                                policies:
                                  allow_all:
                                    permissions:
                                      - any: true
                                    principals:
                                      - any: true
                                      
                      - match:
                          prefix: /
                        route:
                          cluster: studio
                          timeout: 30s
                        request_headers_to_remove:
                          - authorization
                        typed_per_filter_config:
                          envoy.filters.http.rbac:
                            '@type': >-
                              type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute
                            rbac:
                              rules:
                                action: ALLOW
                                policies:
                                  allow_all:
                                    permissions:
                                      - any: true
                                    principals:
                                      - any: true

              http_filters:
                - name: envoy.filters.http.basic_auth
                  typed_config:
                    '@type': >-
                      type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth
                    users:
                      inline_string: '\${DASHBOARD_BASIC_AUTH}'
                      
                - name: envoy.filters.http.rbac
                  typed_config:
                    '@type': >-
                      type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
                    rules:
                      action: ALLOW
                      policies:
                        admin:
                          permissions:
                            - url_path:
                                path:
                                  prefix: /pg/
                          principals:
                            - header:
                                name: apikey
                                string_match:
                                  exact: '\${SERVICE_ROLE_KEY}'
                - name: envoy.filters.http.router
                  typed_config:
                    '@type': >-
                      type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
`;

const CDS = `resources:
  - '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: functions
    type: STRICT_DNS
    lb_policy: ROUND_ROBIN
    load_assignment:
      cluster_name: functions
      endpoints:
        - lb_endpoints:
            - endpoint:
                address:
                  socket_address:
                    address: functions
                    port_value: 9000

  - '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: studio
    type: STRICT_DNS
    load_assignment:
      cluster_name: studio
`;

const FILES = {
  'volumes/functions/main/index.ts': "// Supabase's own main service\nDeno.serve(() => new Response('main'));\n",
  'volumes/functions/hello/index.ts': "Deno.serve(() => new Response('hello'));\n",
  '.gitignore': 'volumes/db/data\n',
};

export const LAYOUTS = {
  older: { ...FILES, '.env': ENV, 'docker-compose.yml': OLD_COMPOSE, 'volumes/api/kong.yml': kong(false) },
  newer: {
    ...FILES, '.env': `${ENV}SUPABASE_PUBLISHABLE_KEY=sb_publishable_of-the-test\nSUPABASE_SECRET_KEY=sb_secret_of-the-test\nJWT_JWKS={"keys":[]}\nAPI_GW_HTTP_PORT=8000`,
    'docker-compose.yml': NEW_COMPOSE, 'docker-compose.kong.yml': KONG_OVERRIDE, 'volumes/api/kong.yml': kong(true),
    'volumes/api/kong-entrypoint.sh': '#!/bin/bash\nexec /entrypoint.sh kong docker-start\n',
    'volumes/api/envoy/lds.template.yaml': LDS, 'volumes/api/envoy/cds.yaml': CDS,
  },
};

/** Writes a layout into a new folder with a space in its name; `changes` adds files or replaces them. Returns the folder. */
export function makeLayout(name, changes = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `supabase ${name}-`));
  for (const [file, text] of Object.entries({ ...LAYOUTS[name], ...changes })) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  return folder;
}

/** Everything in a folder: path → mode and content, for comparing before and after. */
export function snapshot(folder) {
  const found = {};
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const full = path.join(entry.parentPath ?? entry.path, entry.name);
    const mode = fs.lstatSync(full).mode.toString(8);
    found[path.relative(folder, full)] = entry.isFile() ? `${mode} ${fs.readFileSync(full, 'latin1')}` : mode;
  }
  return found;
}
