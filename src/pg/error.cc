#include "pg/error.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tidemill::pg {
namespace {

struct Class {
  std::string_view prefix;  // of the SQLSTATE
  Domain domain;
  Code code;
  bool retryable;
  std::string_view way_out;
};

// https://www.postgresql.org/docs/current/errcodes-appendix.html; the first that fits.
constexpr std::array kClasses = {
    Class{"08", Domain::kExternal, Code::kFailed, true, ""},
    Class{
        "25006", Domain::kExternal, Code::kFailed, true,
        "a query only reads; and a sink needs the primary, not a standby (target_session_attrs=read-write)"},
    Class{"25P03", Domain::kExternal, Code::kFailed, true, ""},
    Class{"28", Domain::kUser, Code::kFailed, false, "check user and password"},
    Class{"40", Domain::kExternal, Code::kFailed, true, ""},
    Class{"42501", Domain::kUser, Code::kFailed, false,
          "GRANT the user what is missing, or connect as another"},
    Class{"42P01", Domain::kUser, Code::kNotFound, false, ""},
    Class{"3F000", Domain::kUser, Code::kNotFound, false, "create it: CREATE SCHEMA"},
    Class{"42P07", Domain::kUser, Code::kExists, false, ""},
    Class{"23", Domain::kUser, Code::kInvalid, false,
          "the table refuses a row: loosen the constraint, or let a filter drop such events"},
    Class{"53100", Domain::kExternal, Code::kDiskFull, true, ""},
    Class{"53", Domain::kExternal, Code::kFailed, true, ""},
    Class{"55P03", Domain::kExternal, Code::kFailed, true, ""},
    Class{"57014", Domain::kExternal, Code::kFailed, true, ""},
    Class{"57P", Domain::kExternal, Code::kFailed, true, ""},
    Class{"58", Domain::kExternal, Code::kFailed, false, ""},
    Class{"XX", Domain::kExternal, Code::kFailed, false, ""},
};

constexpr size_t kMostCited = 500;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

std::string one_line(std::string_view message) {
  for (std::string_view prefix : {"ERROR:  ", "FATAL:  ", "PANIC:  "}) {
    if (message.starts_with(prefix)) message.remove_prefix(prefix.size());
  }
  std::string line;
  for (char c : message.substr(0, kMostCited)) {
    if (c != '\n' && c != '\r' && c != '\t') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line;
}

Error error_of(const Said& said) {
  Error error{Domain::kExternal, Code::kFailed, said.sqlstate.empty(), one_line(said.message)};
  std::string_view way_out = said.hint;
  if (!said.detail.empty()) error.message += " (" + one_line(said.detail) + ")";
  if (!said.sqlstate.empty()) {
    error.message += " [SQLSTATE " + said.sqlstate + "]";
    // Whatever is not listed is about what was asked: syntax, names, types.
    error.domain = Domain::kUser;
    error.code = Code::kInvalid;
    for (const Class& known : kClasses) {
      if (!std::string_view(said.sqlstate).starts_with(known.prefix)) continue;
      error.domain = known.domain;
      error.code = known.code;
      error.retryable = known.retryable;
      if (!known.way_out.empty()) way_out = known.way_out;
      break;
    }
  }
  if (!way_out.empty()) error.message += "; " + one_line(way_out);
  return error;
}

Error connect_error(const std::string& place, std::string_view message) {
  message = message.substr(0, message.find("\tIs the server running"));  // the way out says that
  Error error = external_error("cannot connect to " + place + ": " + one_line(message), Code::kFailed, true);
  struct Known {
    std::string_view part, way_out;
  };
  // libpq tells no SQLSTATE of a connection that failed. What it is not known by is tried again.
  constexpr std::array kFinal = {
      Known{"password authentication failed",
            "check user and password, which PGPASSWORD or ~/.pgpass may hold"},
      Known{"no password supplied", "give one: serve.postgres.password, PGPASSWORD or ~/.pgpass"},
      Known{"no pg_hba.conf entry", "the server's pg_hba.conf must allow this user, host and kind of TLS"},
      Known{"\" does not exist", "create it, or name another in serve.postgres.connection"},
      Known{"permission denied for database", "GRANT CONNECT to the user"},
      Known{"certificate", "check sslmode, sslrootcert and sslcert in serve.postgres.connection"},
      Known{"server does not support SSL", "set up TLS at the server, or ask for less by sslmode"},
      Known{"invalid", "correct serve.postgres.connection"},
  };
  for (const Known& known : kFinal) {
    if (!contains(message, known.part)) continue;
    error.domain = Domain::kUser;
    error.retryable = false;
    error.message += "; ";
    error.message += known.way_out;
    return error;
  }
  error.message +=
      "; start it, or correct serve.postgres.connection; tools/postgres up starts one on this machine";
  return error;
}

}  // namespace tidemill::pg
