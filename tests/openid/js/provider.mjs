// A certified OpenID provider on 127.0.0.1, as `provider.py` configures it by the JSON of its first argument:
// port, clients, users (claims by id), keys (private JWKs), the resource that JWT access tokens are for, and
// whether PKCE is required.
import Provider from "oidc-provider";

const { port, clients, users, keys, resource, pkce } = JSON.parse(process.argv[2]);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  jwks: { keys },
  cookies: { keys: ["of the tests"] },
  conformIdTokenClaims: false,
  claims: {
    openid: ["sub", "groups"],
    email: ["email", "email_verified"],
    profile: ["name", "nickname"],
  },
  enabledJWA: {
    idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA", "HS256"],
  },
  pkce: { required: () => pkce },
  async findAccount(_context, id) {
    const claims = users[id];
    return claims && { accountId: id, claims: async () => ({ sub: id, ...claims }) };
  },
  async extraTokenClaims(_context, token) {
    return { groups: users[token.accountId]?.groups };
  },
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // A client whose id says so gets signed access tokens, the others opaque ones.
      defaultResource: async (_context, client) => (client.clientId.startsWith("signed") ? resource : undefined),
      useGrantedResource: async () => true,
      getResourceServerInfo: async () => ({
        scope: "openid email profile",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
      }),
    },
  },
});

provider.listen(port, "127.0.0.1", () => console.log("listening"));
