#include "kafka/trouble.h"

#include <array>
#include <string_view>

namespace tidemill::kafka {
namespace {

struct Known {
  std::string_view sign;  // in librdkafka's words
  Trouble::Hope hope;
  std::string_view way_out;
};

constexpr std::string_view kResolve = "resolve";
constexpr std::string_view kProtocol = "the listener may want TLS: check tls, and the port";
// "Certificate (subject=/CN=a, issuer=/CN=b) verification callback failed: " and certificate_problem().
constexpr std::string_view kCertificateRejected = " verification callback failed: ";
constexpr std::string_view kCertificate =
    "the broker wants a client's certificate that it trusts; check tls_certificate and tls_key";

// The first that fits.
constexpr std::array<Known, 18> kKnown = {{
    {"Local: Broker transport failure", Trouble::kGood, "the connection broke"},
    {"OAUTHBEARER token", Trouble::kNone, "check the properties sasl.oauthbearer.*"},
    {"SASL authentication error", Trouble::kNone, "check user and password, and that they have not expired"},
    {"supported mechanisms: ", Trouble::kNone,
     "give one of those as sasl; where there are none, the listener knows no users: remove sasl, or give "
     "another port"},
    {kCertificateRejected, Trouble::kNone, ""},
    {"certificate verify failed", Trouble::kNone, "check tls_ca and the host name in brokers"},
    {"alert bad certificate", Trouble::kNone, kCertificate},
    {"alert certificate", Trouble::kNone, kCertificate},
    {"alert unknown ca", Trouble::kNone, kCertificate},
    {"alert handshake failure", Trouble::kNone, kCertificate},
    {"PLAINTEXT broker listener?", Trouble::kPoor,
     "the listener seems to know no TLS: remove tls, or give another port"},
    {"SSL connection closed by peer", Trouble::kPoor,
     "the listener seems to want a user: give sasl, user and password, or another port"},
    {"broker might require SASL authentication", Trouble::kPoor,
     "the listener seems to want a user: give sasl, user and password, or another port"},
    {kResolve, Trouble::kGood, "check the name"},
    // The first request was not answered.
    {"ApiVersion", Trouble::kPoor, kProtocol},
    {"in state APIVERSION_QUERY", Trouble::kPoor, kProtocol},
    {"Connection refused", Trouble::kGood, "check the port, and that the broker runs"},
    {"Connect", Trouble::kGood, "check the address, and this machine's network"},
}};

// " (after 3ms in state CONNECT, 1 identical error(s) suppressed)"
void cut_state(std::string* text) {
  const size_t at = text->rfind(" (after ");
  if (at != std::string::npos && text->back() == ')') text->resize(at);
}

void say_certificate(std::string* text) {
  constexpr std::string_view kBegin = "Certificate (";
  const size_t begin = text->find(kBegin), at = text->find(kCertificateRejected);
  if (begin == std::string::npos || at == std::string::npos) return;
  text->replace(at, kCertificateRejected.size(), " ");
  text->replace(begin, kBegin.size(), "the broker's certificate (");
}

}  // namespace

Trouble explain_trouble(const std::string& reason) {
  Trouble trouble;
  std::string why = reason;
  cut_state(&why);
  const Known* known = nullptr;
  for (const Known& one : kKnown) {
    if (known == nullptr && reason.find(one.sign) != std::string::npos) known = &one;
  }
  if (known != nullptr) trouble.hope = known->hope;
  std::string way_out;
  if (known != nullptr && !known->way_out.empty()) way_out = "; " + std::string(known->way_out);
  say_certificate(&why);

  // "sasl_ssl://broker-1.internal:9093/1: Failed to resolve …": a number after the slash is a broker that the
  // cluster advertises; "/bootstrap" is one of those that were configured.
  const size_t colon = why.find(": ");
  const size_t slash = why.rfind('/', colon);
  if (colon == std::string::npos || slash == std::string::npos || slash + 1 >= colon) {
    trouble.text = why + way_out;
    return trouble;
  }
  const std::string id = why.substr(slash + 1, colon - slash - 1);
  size_t begin = why.find("://");
  begin = begin == std::string::npos || begin > slash ? 0 : begin + 3;
  const std::string name = why.substr(begin, slash - begin);
  why.erase(0, colon);
  if (id.find_first_not_of("0123456789") != std::string::npos) {
    trouble.text = name + why + way_out;
  } else if (known != nullptr && known->hope == Trouble::kGood) {
    if (known->sign == kResolve) trouble.hope = Trouble::kPoor;
    trouble.text = "the cluster advertises broker " + id + " at " + name +
                   ", which cannot be reached from here" + why +
                   "; check its advertised.listeners, or this machine's network";
  } else {
    trouble.text = "broker " + id + " at " + name + why + way_out;
  }
  return trouble;
}

std::string certificate_problem(int x509_error) {
  switch (x509_error) {
    case 9:
      return "is not valid yet; check this machine's clock";
    case 10:
      return "has expired";
    case 2:
    case 18:
    case 19:
    case 20:
    case 21:
      return "was signed by a CA that is not trusted here; check tls_ca";
    case 62:
    case 64:
      return "is for another host name or address; give brokers by a name that it holds";
    default:
      return "is not valid (X.509 error " + std::to_string(x509_error) + ")";
  }
}

}  // namespace tidemill::kafka
