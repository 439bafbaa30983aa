#include "kafka/trouble.h"

#include <array>
#include <string_view>
#include <utility>

namespace tidemill::kafka {
namespace {

struct Known {
  std::string_view sign;  // in librdkafka's words
  Trouble::Rank rank;
  std::string_view way_out;
};

constexpr int64_t kPatienceNs = 5'000'000'000;   // how long what is likely wrong is tried
constexpr int64_t kExplainsNs = 60'000'000'000;  // what is older explains nothing; repeated every 30 s

constexpr std::string_view kResolve = "resolve";
constexpr std::string_view kNoUser =
    "the listener seems to want a user: give sasl, user and password, or another port";
constexpr std::string_view kNoTls = "the listener seems to know no TLS: remove tls, or give another port";
constexpr std::string_view kProtocol = "the listener may want TLS: check tls, and the port";
// "Certificate (subject=/CN=a, issuer=/CN=b) verification callback failed: " and certificate_problem().
constexpr std::string_view kCertificateRejected = " verification callback failed: ";
constexpr std::string_view kCertificate =
    "the broker wants a client's certificate that it trusts; check tls_certificate and tls_key";

// The first that fits.
// The first that fits.
constexpr std::array<Known, 22> kKnown = {{
    {"Local: Broker transport failure", Trouble::kBroken, "the connection broke"},
    {"SaslAuthenticateRequest failed: ", Trouble::kBroken, "the connection broke"},
    {"mechanism handshake failed: Local: ", Trouble::kBroken, "the connection broke"},
    {"OAUTHBEARER token", Trouble::kRefused, "check the properties sasl.oauthbearer.*"},
    {"SASL authentication error", Trouble::kRefused,
     "check user and password, and that they have not expired"},
    {"supported mechanisms: ", Trouble::kRefused,
     "give one of those as sasl; where there are none, the listener knows no users: remove sasl, or give "
     "another port"},
    {kCertificateRejected, Trouble::kCertificate, ""},
    {"certificate verify failed", Trouble::kRefused, "check tls_ca and the host name in brokers"},
    {"alert bad certificate", Trouble::kRefused, kCertificate},
    {"alert certificate", Trouble::kRefused, kCertificate},
    {"alert unknown ca", Trouble::kRefused, kCertificate},
    {"alert handshake failure", Trouble::kRefused, kCertificate},
    // A listener that knows no TLS closes the connection at once.
    {"imed out", Trouble::kUnreachable,
     "the broker is overloaded, or something between swallows what is sent"},
    {"PLAINTEXT broker listener?", Trouble::kProtocol, kNoTls},
    {"in state SSL_HANDSHAKE", Trouble::kProtocol, kNoTls},
    {"SSL connection closed by peer", Trouble::kProtocol, kNoUser},
    {"broker might require SASL authentication", Trouble::kProtocol, kNoUser},
    {kResolve, Trouble::kUnreachable, "check the name"},
    // The first request was not answered.
    {"ApiVersion", Trouble::kProtocol, kProtocol},
    {"in state APIVERSION_QUERY", Trouble::kProtocol, kProtocol},
    {"Connection refused", Trouble::kUnreachable, "check the port, and that the broker runs"},
    {"Connect", Trouble::kUnreachable, "check the address, and this machine's network"},
}};

Trouble::Hope hope_of(Trouble::Rank rank) {
  switch (rank) {
    case Trouble::kBroken:
    case Trouble::kUnreachable:
      break;
    case Trouble::kProtocol:
      return Trouble::kPoor;
    case Trouble::kRefused:
    case Trouble::kCertificate:
      return Trouble::kNone;
  }
  return Trouble::kGood;
}

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

Trouble explain_trouble(const std::string& reason, bool answered) {
  Trouble trouble;
  std::string why = reason;
  cut_state(&why);
  const bool over_tls = reason.starts_with("ssl://") || reason.starts_with("sasl_ssl://");
  const Known* known = nullptr;
  for (const Known& one : kKnown) {
    if (known != nullptr || (answered && one.rank == Trouble::kProtocol)) continue;
    // Who has a user, or TLS that works, is closed on for other reasons.
    if (one.way_out == kNoUser && reason.starts_with("sasl_")) continue;
    if (one.way_out == kProtocol && over_tls) continue;
    if (reason.find(one.sign) != std::string::npos) known = &one;
  }
  if (known != nullptr) trouble.rank = known->rank;
  trouble.hope = hope_of(trouble.rank);
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
  } else if (known != nullptr && trouble.hope == Trouble::kGood) {
    if (known->sign == kResolve) trouble.hope = Trouble::kPoor;
    trouble.text = "the cluster advertises broker " + id + " at " + name +
                   ", which cannot be reached from here" + why +
                   "; check its advertised.listeners, or this machine's network";
  } else {
    trouble.text = "broker " + id + " at " + name + why + way_out;
  }
  return trouble;
}

void Troubles::note(const std::string& reason, int64_t now_ns) {
  Trouble trouble = explain_trouble(reason, answered_);
  if (!at(now_ns).text.empty() && trouble.rank < kept_.rank) return;
  kept_ = std::move(trouble);
  heard_ns_ = now_ns;
}

void Troubles::got_through() {
  answered_ = true;
  // Others may be as they were: an advertised broker that cannot be reached is told only every 30 s.
  if (kept_.rank >= Trouble::kProtocol) kept_ = {};
}

Trouble Troubles::at(int64_t now_ns) const {
  return now_ns - heard_ns_ > kExplainsNs ? Trouble() : kept_;
}

bool Troubles::hopeless(int64_t since_ns, int64_t now_ns) const {
  const Trouble::Hope hope = at(now_ns).hope;
  if (hope == Trouble::kGood) return false;
  // What was refused before that, of a client that had been let in, may have been mended since.
  const bool refused = hope == Trouble::kNone && (!answered_ || heard_ns_ >= since_ns);
  return refused || now_ns - since_ns >= kPatienceNs;
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
