"""What secures the brokers of tools/kafka: a CA of their own, certificates, users.

In the cluster's directory, each readable by its owner only:

  ca.pem           the CA that signed the brokers' certificates and the client's
  other-ca.pem     one that signed nothing
  client.pem, client.key    a client's certificate and key
  user, password   of the user that PLAIN and SCRAM know
"""
import os
import secrets
import subprocess

# What a listener is called, its protocol, and the address it listens at and has a certificate for, or not.
# other_name: a TLS listener at an address that its certificate does not name. elsewhere: one that advertises an
# address that nobody has.
LISTENERS = {
    "none": {"plain": "PLAINTEXT"},
    "sasl": {"plain": "PLAINTEXT", "sasl": "SASL_SSL"},
    "tls": {"plain": "PLAINTEXT", "tls": "SSL"},
    "all": {"plain": "PLAINTEXT", "sasl": "SASL_SSL", "tls": "SSL", "other_name": "SSL", "elsewhere": "PLAINTEXT"},
}
# Whose address is printed.
FRONT = {"none": "plain", "sasl": "sasl", "tls": "tls", "all": "plain"}
USER = "tidemill"
OTHER_HOST = "127.0.0.2"
NOBODY = "broker.invalid"
MECHANISMS = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
LOGIN = "org.apache.kafka.common.security"


def host_of(listener, host):
    return OTHER_HOST if listener == "other_name" else host


def write_secret(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def openssl(directory, *arguments):
    done = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True, umask=0o077)
    if done.returncode != 0:
        raise SystemExit("openssl " + arguments[0] + ": " + done.stderr)


def make_ca(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def make_certificate(directory, name, extensions):
    (directory / f"{name}.ext").write_text(extensions)
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def prepare(directory, security):
    """Makes the files, and returns what StorageTool's format has to be told besides."""
    if security == "none":
        return []
    make_ca(directory, "ca")
    make_ca(directory, "other-ca")
    make_certificate(directory, "broker", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    make_certificate(directory, "client", "extendedKeyUsage=clientAuth\n")
    write_secret(directory / "broker-keystore.pem", (directory / "broker.key").read_text() + (directory / "broker.pem").read_text())
    write_secret(directory / "user", USER)
    password = secrets.token_urlsafe(18)
    write_secret(directory / "password", password)
    if security == "tls":
        return []
    return [word for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for word in ("--add-scram", f"{mechanism}=[name={USER},password={password}]")]


def properties(directory, security, ports, host):
    """Those of one broker; `ports`: by the names of LISTENERS, and `controller`."""
    listeners = LISTENERS[security]
    address = {name: f"{name.upper()}://{host_of(name, host)}:{ports[name]}" for name in listeners}
    advertised = {**address, **({"elsewhere": f"ELSEWHERE://{NOBODY}:{ports['elsewhere']}"} if "elsewhere" in listeners else {})}
    found = {
        "listeners": ",".join([*address.values(), f"CONTROLLER://127.0.0.1:{ports['controller']}"]),
        "advertised.listeners": ",".join(advertised.values()),
        "listener.security.protocol.map": ",".join([*(f"{name.upper()}:{protocol}" for name, protocol in listeners.items()),
                                                    "CONTROLLER:PLAINTEXT"]),
        "inter.broker.listener.name": "PLAIN",
        "controller.listener.names": "CONTROLLER",
    }
    for name, protocol in listeners.items():
        prefix = f"listener.name.{name}."
        if "SSL" in protocol:
            found[prefix + "ssl.keystore.type"] = found[prefix + "ssl.truststore.type"] = "PEM"
            found[prefix + "ssl.keystore.location"] = directory / "broker-keystore.pem"
            found[prefix + "ssl.truststore.location"] = directory / "ca.pem"
            found[prefix + "ssl.client.auth"] = "required" if protocol == "SSL" else "none"
        if "SASL" in protocol:
            password = (directory / "password").read_text()
            found[prefix + "sasl.enabled.mechanisms"] = MECHANISMS
            login = {"plain": f"{LOGIN}.plain.PlainLoginModule required user_{USER}=\"{password}\";",
                     "scram-sha-256": f"{LOGIN}.scram.ScramLoginModule required;",
                     "scram-sha-512": f"{LOGIN}.scram.ScramLoginModule required;",
                     # Takes tokens that nobody signed: for tests only.
                     "oauthbearer": f"{LOGIN}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"}
            for mechanism, config in login.items():
                found[f"{prefix}{mechanism}.sasl.jaas.config"] = config
    return found
