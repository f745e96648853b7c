//! WGSL functions that generated code calls, each emitted only into modules that need it.
//!
//! Names are short because they are shipped to browsers. A suffix `4` marks the four-lane form.

use std::collections::BTreeSet;

/// The helpers a module needs.
#[derive(Default)]
pub(super) struct Helpers {
    names: BTreeSet<&'static str>,
}

impl Helpers {
    /// Asks for a helper and those it calls, and returns its name.
    pub(super) fn need(&mut self, name: &'static str) -> &'static str {
        if self.names.insert(name) {
            for called in find(name).calls {
                self.need(called);
            }
        }
        name
    }

    /// The sources of all helpers asked for.
    pub(super) fn source(&self) -> String {
        self.names.iter().map(|name| find(name).source).collect()
    }
}

struct Helper {
    name: &'static str,
    calls: &'static [&'static str],
    source: &'static str,
}

fn find(name: &str) -> &'static Helper {
    HELPERS.iter().find(|helper| helper.name == name).expect("every helper that is asked for is in the table")
}

macro_rules! helper {
    ($name:literal, [$($call:literal),*], $source:literal) => {
        Helper { name: $name, calls: &[$($call),*], source: $source }
    };
}

const HELPERS: &[Helper] = &[
    // A float by its bits: the only way to write NaN and infinities.
    helper!("fb", [], "fn fb(b:u32)->f32{return bitcast<f32>(b);}\n"),
    // Floats that are numbers as integers of the same order, and back.
    helper!("fk", [], "fn fk(x:f32)->i32{let b=bitcast<i32>(x);return b^((b>>31u)&2147483647);}\n"),
    helper!("kf", [], "fn kf(k:i32)->f32{return bitcast<f32>(k^((k>>31u)&2147483647));}\n"),
    // Four bytes of a word as integers, unsigned and signed, four low halves of its bytes, and back.
    helper!("u4", [], "fn u4(w:u32)->vec4i{return vec4i((vec4u(w)>>vec4u(0,8,16,24))&vec4u(255));}\n"),
    helper!("sx", [], "fn sx(w:u32)->vec4i{return (vec4i(bitcast<i32>(w))<<vec4u(24,16,8,0))>>vec4u(24);}\n"),
    helper!("n4", [], "fn n4(w:u32)->vec4i{return (vec4i(bitcast<i32>(w))<<vec4u(28,20,12,4))>>vec4u(28);}\n"),
    helper!("p4", [], "fn p4(v:vec4i)->u32{let u=(bitcast<vec4u>(v)&vec4u(255))<<vec4u(0,8,16,24);return u.x|u.y|u.z|u.w;}\n"),
    // Four bytes that start at byte `o` of two neighbouring words.
    helper!("wd", [], "fn wd(a:u32,b:u32,o:i32)->u32{let s=u32(o&3)*8u;return (a>>s)|((b<<(31u-s))<<1u);}\n"),
    // Four products of four bytes each.
    helper!(
        "dt",
        [],
        "fn dt(x:u32,w:vec4u)->vec4i{return vec4i(dot4I8Packed(x,w.x),dot4I8Packed(x,w.y),dot4I8Packed(x,w.z),dot4I8Packed(x,w.w));}\n"
    ),
    // Float to integer: truncates, saturates, NaN becomes 0. NaN is known by its bits, because a compiler may take `x!=x` to be false.
    helper!(
        "fi",
        [],
        "fn fi(x:f32)->i32{let r=select(i32(clamp(x,-2147483648f,2147483520f)),2147483647,x>=2147483648f);return select(r,0,(bitcast<u32>(x)&2147483647u)>2139095040u);}\n"
    ),
    helper!(
        "fi4",
        [],
        "fn fi4(x:vec4f)->vec4i{let r=select(vec4i(clamp(x,vec4f(-2147483648f),vec4f(2147483520f))),vec4i(2147483647),x>=vec4f(2147483648f));\
         return select(r,vec4i(0),(bitcast<vec4u>(x)&vec4u(2147483647))>vec4u(2139095040));}\n"
    ),
    helper!(
        "fu",
        [],
        "fn fu(x:f32)->u32{let r=select(u32(clamp(x,0f,4294967040f)),4294967295u,x>=4294967296f);return select(r,0u,(bitcast<u32>(x)&2147483647u)>2139095040u);}\n"
    ),
    helper!(
        "fu4",
        [],
        "fn fu4(x:vec4f)->vec4u{let r=select(vec4u(clamp(x,vec4f(0),vec4f(4294967040f))),vec4u(4294967295u),x>=vec4f(4294967296f));\
         return select(r,vec4u(0),(bitcast<vec4u>(x)&vec4u(2147483647))>vec4u(2139095040));}\n"
    ),
    // Integer division as the loop IR defines it: by zero 0, the smallest value by -1 itself.
    helper!("di", [], "fn di(a:i32,b:i32)->i32{if(b==0){return 0;}if(b==-1){return 0-a;}return a/b;}\n"),
    helper!("di4", ["di"], "fn di4(a:vec4i,b:vec4i)->vec4i{return vec4i(di(a.x,b.x),di(a.y,b.y),di(a.z,b.z),di(a.w,b.w));}\n"),
    helper!("ri", [], "fn ri(a:i32,b:i32)->i32{if(b==0||b==-1){return 0;}return a%b;}\n"),
    helper!("ri4", ["ri"], "fn ri4(a:vec4i,b:vec4i)->vec4i{return vec4i(ri(a.x,b.x),ri(a.y,b.y),ri(a.z,b.z),ri(a.w,b.w));}\n"),
    helper!("du", [], "fn du(a:u32,b:u32)->u32{if(b==0u){return 0u;}return a/b;}\n"),
    helper!("du4", ["du"], "fn du4(a:vec4u,b:vec4u)->vec4u{return vec4u(du(a.x,b.x),du(a.y,b.y),du(a.z,b.z),du(a.w,b.w));}\n"),
    helper!("ru", [], "fn ru(a:u32,b:u32)->u32{if(b==0u){return 0u;}return a%b;}\n"),
    helper!("ru4", ["ru"], "fn ru4(a:vec4u,b:vec4u)->vec4u{return vec4u(ru(a.x,b.x),ru(a.y,b.y),ru(a.z,b.z),ru(a.w,b.w));}\n"),
    // The built-in power is only defined for positive bases.
    helper!(
        "pw",
        ["fb"],
        "fn pw(x:f32,y:f32)->f32{if(y==0f||x==1f){return 1f;}if(x==0f){return select(0f,fb(2139095040u),y<0f);}let r=pow(abs(x),y);if(x>0f){return r;}\
         if(trunc(y)!=y){return fb(2143289344u);}return select(r,0f-r,abs(y)<16777216f&&(i32(clamp(y,-16777216f,16777216f))&1)!=0);}\n"
    ),
    helper!("pw4", ["pw"], "fn pw4(x:vec4f,y:vec4f)->vec4f{return vec4f(pw(x.x,y.x),pw(x.y,y.y),pw(x.z,y.z),pw(x.w,y.w));}\n"),
    // The error function: a rational approximation in x*x, within 4 units in the last place on [-4, 4] and 1 beyond.
    helper!(
        "er",
        [],
        "fn er(a:f32)->f32{let x=clamp(a,-4f,4f);let y=x*x;let p=((((((-2.72614225801306e-10f*y+2.77068142495902e-8f)*y-2.10102402082508e-6f)*y\
         -5.69250639462346e-5f)*y-7.34990630326855e-4f)*y-2.95459980854025e-3f)*y-1.60960333262415e-2f);let q=((((-1.45660718464996e-5f*y\
         -2.13374055278905e-4f)*y-1.68282697438203e-3f)*y-7.37332916720468e-3f)*y-1.42647390514189e-2f);return x*p/q;}\n"
    ),
    helper!("er4", ["er"], "fn er4(x:vec4f)->vec4f{return vec4f(er(x.x),er(x.y),er(x.z),er(x.w));}\n"),
    // The built-in hyperbolic tangent overflows on some devices; from 15 on it is 1 in any case.
    helper!("th", [], "fn th(x:f32)->f32{return tanh(clamp(x,-15f,15f));}\n"),
    helper!("th4", [], "fn th4(x:vec4f)->vec4f{return tanh(clamp(x,vec4f(-15f),vec4f(15f)));}\n"),
    // Rounding to 16-bit floats, nearest even.
    helper!(
        "bf",
        [],
        "fn bf(x:f32)->u32{let b=bitcast<u32>(x);if((b&2147483647u)>2139095040u){return (b>>16u)|64u;}return (b+32767u+((b>>16u)&1u))>>16u;}\n"
    ),
    helper!(
        "hf",
        [],
        "fn hf(x:f32)->u32{let b=bitcast<u32>(x);let s=(b>>16u)&32768u;let a=b&2147483647u;if(a>2139095040u){return s|32256u;}if(a>=1199570944u){return s|31744u;}\
         if(a<855638017u){return s;}let e=a>>23u;if(e<113u){let m=(a&8388607u)|8388608u;let n=126u-e;let r=m>>n;let d=m&((1u<<n)-1u);let h=1u<<(n-1u);\
         return s|(r+select(0u,1u,d>h||(d==h&&(r&1u)!=0u)));}return s|((a-939524096u+4095u+((a>>13u)&1u))>>13u);}\n"
    ),
    // 64-bit integers as two words, low one first.
    helper!("ad", [], "fn ad(a:vec2u,b:vec2u)->vec2u{let l=a.x+b.x;return vec2u(l,a.y+b.y+select(0u,1u,l<a.x));}\n"),
    helper!("ng", [], "fn ng(a:vec2u)->vec2u{let l=0u-a.x;return vec2u(l,(0u-a.y)-select(0u,1u,a.x!=0u));}\n"),
    helper!("sb", ["ad", "ng"], "fn sb(a:vec2u,b:vec2u)->vec2u{return ad(a,ng(b));}\n"),
    helper!(
        "mh",
        [],
        "fn mh(a:u32,b:u32)->u32{let l=(a&65535u)*(b&65535u);let m=(a>>16u)*(b&65535u)+(l>>16u);let n=(a&65535u)*(b>>16u)+(m&65535u);\
         return (a>>16u)*(b>>16u)+(m>>16u)+(n>>16u);}\n"
    ),
    helper!("mu", ["mh"], "fn mu(a:vec2u,b:vec2u)->vec2u{return vec2u(a.x*b.x,mh(a.x,b.x)+a.x*b.y+a.y*b.x);}\n"),
    helper!("lu", [], "fn lu(a:vec2u,b:vec2u)->bool{return a.y<b.y||(a.y==b.y&&a.x<b.x);}\n"),
    helper!("li", [], "fn li(a:vec2u,b:vec2u)->bool{return bitcast<i32>(a.y)<bitcast<i32>(b.y)||(a.y==b.y&&a.x<b.x);}\n"),
    helper!(
        "sl",
        [],
        "fn sl(a:vec2u,c:u32)->vec2u{let s=c&63u;if(s==0u){return a;}if(s>31u){return vec2u(0u,a.x<<(s-32u));}return vec2u(a.x<<s,(a.y<<s)|(a.x>>(32u-s)));}\n"
    ),
    helper!(
        "sr",
        [],
        "fn sr(a:vec2u,c:u32)->vec2u{let s=c&63u;if(s==0u){return a;}if(s>31u){return vec2u(a.y>>(s-32u),0u);}return vec2u((a.x>>s)|(a.y<<(32u-s)),a.y>>s);}\n"
    ),
    helper!(
        "sa",
        [],
        "fn sa(a:vec2u,c:u32)->vec2u{let s=c&63u;let h=bitcast<i32>(a.y);if(s==0u){return a;}if(s>31u){return vec2u(bitcast<u32>(h>>(s-32u)),bitcast<u32>(h>>31u));}\
         return vec2u((a.x>>s)|(a.y<<(32u-s)),bitcast<u32>(h>>s));}\n"
    ),
    // Quotient (x, y) and remainder (z, w) by restoring division; by zero both are 0.
    helper!(
        "qr",
        ["lu", "sb"],
        "fn qr(a:vec2u,b:vec2u)->vec4u{var q=vec2u();var r=vec2u();if(b.x==0u&&b.y==0u){return vec4u();}for(var i=63;i>=0;i--){let h=r.y>>31u;\
         r=vec2u((r.x<<1u)|((select(a.x,a.y,i>31)>>u32(i&31))&1u),(r.y<<1u)|(r.x>>31u));if(h!=0u||!lu(r,b)){r=sb(r,b);if(i>31){q.y|=1u<<u32(i&31);}\
         else{q.x|=1u<<u32(i);}}}return vec4u(q,r);}\n"
    ),
    helper!("ab", ["ng"], "fn ab(a:vec2u)->vec2u{if((a.y>>31u)!=0u){return ng(a);}return a;}\n"),
    helper!(
        "dl",
        ["qr", "ab", "ng"],
        "fn dl(a:vec2u,b:vec2u)->vec2u{let q=qr(ab(a),ab(b)).xy;if(((a.y^b.y)>>31u)!=0u){return ng(q);}return q;}\n"
    ),
    helper!(
        "rl",
        ["qr", "ab", "ng"],
        "fn rl(a:vec2u,b:vec2u)->vec2u{let r=qr(ab(a),ab(b)).zw;if((a.y>>31u)!=0u){return ng(r);}return r;}\n"
    ),
    // Integers of 64 bits to floats: shifted to 32 significant bits with a sticky one, so that the only rounding is the conversion's.
    helper!(
        "uf",
        [],
        "fn uf(a:vec2u)->f32{if(a.y==0u){return f32(a.x);}let n=32u-countLeadingZeros(a.y);var m=a.y;if(n<32u){m=(a.y<<(32u-n))|(a.x>>n);}\
         let d=select(a.x<<(32u-n),a.x,n==32u);return f32(m|select(0u,1u,d!=0u))*bitcast<f32>((n+127u)<<23u);}\n"
    ),
    helper!("lf", ["uf", "ab"], "fn lf(a:vec2u)->f32{let f=uf(ab(a));return select(f,0f-f,(a.y>>31u)!=0u);}\n"),
    // Floats to 64-bit integers: truncates, saturates, NaN becomes 0.
    helper!(
        "ul",
        ["sl", "sr"],
        "fn ul(x:f32)->vec2u{let b=bitcast<u32>(x);if((b&2147483647u)>2139095040u||x<1f){return vec2u();}if(x>=18446744073709551616f){return vec2u(4294967295u);}let e=i32(b>>23u)-150;\
         let m=vec2u((b&8388607u)|8388608u,0u);if(e<0){return sr(m,u32(-e));}return sl(m,u32(e));}\n"
    ),
    helper!(
        "il",
        ["ul", "ng"],
        "fn il(x:f32)->vec2u{if(x>=9223372036854775808f){return vec2u(4294967295u,2147483647u);}if(x<=-9223372036854775808f){return vec2u(0u,2147483648u);}\
         let r=ul(abs(x));if(x<0f){return ng(r);}return r;}\n"
    ),
    // Requantization by a 64-bit product in 16-bit halves, shifts below 32 and from 32 on.
    helper!(
        "rq",
        ["rh"],
        "fn rq(v:vec4i,m:vec4i,s:u32)->vec4i{let a=bitcast<vec4u>(v);let b=bitcast<vec4u>(m);let t=a*b;let h=rh(v,m);let k=(t>>vec4u(s))&vec4u(1);\
         let c=t+vec4u((1u<<(s-1u))-1u);let d=c+k;let g=bitcast<vec4i>(h+select(vec4u(0),vec4u(1),c<t)+select(vec4u(0),vec4u(1),d<c));\
         let r=bitcast<vec4i>((d>>vec4u(s))|(bitcast<vec4u>(g)<<vec4u(32u-s)));let o=g>>vec4u(s);\
         return select(select(vec4i(2147483647),vec4i(i32(-2147483648)),o<vec4i(0)),r,o==(r>>vec4u(31)));}\n"
    ),
    helper!(
        "rw",
        ["rh"],
        "fn rw(v:vec4i,m:vec4i,s:u32)->vec4i{let t=bitcast<vec4u>(v)*bitcast<vec4u>(m);let h=rh(v,m);let n=vec4u(s-32u);\
         let k=bitcast<vec4u>((bitcast<vec4i>(h)>>n))&vec4u(1);var l=4294967295u;var u=0u;if(s>32u){u=(1u<<(s-33u))-1u;}else{l=2147483647u;}\
         let c=t+vec4u(l);let d=c+k;return bitcast<vec4i>(h+vec4u(u)+select(vec4u(0),vec4u(1),c<t)+select(vec4u(0),vec4u(1),d<c))>>n;}\n"
    ),
    helper!(
        "rh",
        [],
        "fn rh(v:vec4i,m:vec4i)->vec4u{let a=bitcast<vec4u>(v);let b=bitcast<vec4u>(m);let e=vec4u(65535);let z=vec4u(16);let l=(a&e)*(b&e);\
         let p=(a>>z)*(b&e)+(l>>z);let q=(a&e)*(b>>z)+(p&e);return (a>>z)*(b>>z)+(p>>z)+(q>>z)-select(vec4u(0),b,v<vec4i(0))-select(vec4u(0),a,m<vec4i(0));}\n"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_helper_is_valid_with_the_helpers_it_calls() {
        for helper in HELPERS {
            let mut helpers = Helpers::default();
            helpers.need(helper.name);
            super::super::validate(&helpers.source(), &[]).unwrap_or_else(|error| panic!("`{}`: {error}", helper.name));
        }
    }
}
